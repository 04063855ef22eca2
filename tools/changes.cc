// tierctl changes: lists the changes in a tier since a token.
#include <iostream>

#include "fs/catalog/changes.h"
#include "tools/catalogue.h"
#include "tools/mounts.h"
#include "tools/output.h"
#include "tools/verb.h"

namespace tierfs::tools {
namespace {

struct Request {
  std::string mount;
  int tier = 2;
  std::string since;
  bool tree = false;
  bool nul = false;
  bool json = false;
};

constexpr const char* kWhyFull[] = {"", "", "it was given by another database", "it is older than the record of changes in this tier"};

// Prints one record for each path, "X PATH", and the next token at the end as "= TOKEN". A listing
// without the token is incomplete.
class Listing {
 public:
  explicit Listing(const Request& request) : request_(request) {}

  void Begin() const {
    if (request_.json) std::cout << "{\"tier\": " << request_.tier << ", \"changes\": [";
  }
  void Show(const ChangedPath& change) {
    const std::string path = change.path.empty() ? "." : change.path;
    if (request_.json) {
      nlohmann::json entry = PathToJson(path);
      entry["what"] = std::string(1, change.what);
      if (change.whiteout) entry["whiteout"] = true;
      std::cout << (first_ ? "\n  " : ",\n  ") << entry.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
      first_ = false;
    } else {
      std::cout << change.what << ' ' << (request_.nul ? path : Quoted(path));
      End();
    }
  }
  void Finish(Full full, const std::string& token) const {
    if (request_.json) {
      std::cout << "\n], \"full\": " << (full == Full::kNo ? "false" : "true") << ", \"token\": \"" << token << "\"}\n";
    } else {
      std::cout << "= " << token;
      End();
    }
    std::cout.flush();
  }

 private:
  void End() const { std::cout << (request_.nul ? '\0' : '\n'); }

  const Request& request_;
  bool first_ = true;
};

void Changes(const Request& request, Outcome& outcome) {
  const auto config = ConfigFor(request.mount, outcome);
  if (!config) return;
  if (std::find(config->feed.begin(), config->feed.end(), static_cast<TierId>(request.tier)) == config->feed.end()) {
    std::cerr << "tierctl: '" << config->name << "': changes of tier " << request.tier << " are not recorded; see 'feed' in "
              << config->file << "\n";
    outcome.code = kUsage;
    return;
  }
  if (request.tree) {
    std::cout << config->tiers[static_cast<std::size_t>(request.tier - 1)] << "\n";
    return;
  }
  std::optional<Token> since;
  if (!request.since.empty() && !(since = Token::Parse(request.since))) {
    std::cerr << "tierctl: '" << Printable(request.since) << "' is not a token; take the one that the last listing ended with\n";
    outcome.code = kUsage;
    return;
  }
  const auto sealed = Ask(*config, protocol::Seal{});
  if (!sealed) {
    std::cerr << sealed.error() << "\n";
    outcome.code = kCannot;
    return;
  }
  const auto next = Token::Parse(sealed->token);
  Listing listing(request);
  Full full = Full::kNo;
  bool same_database = false;
  const auto read = ReadCatalogue(*config, [&](Connection& connection) {
    same_database = next && DatabaseId(connection) == next->database;
    if (!same_database) return;
    listing.Begin();
    full = ListChanges(connection, LayerOf(static_cast<TierId>(request.tier)), since,
                       [&](const ChangedPath& change) { listing.Show(change); });
    listing.Finish(full, next->Render());
  });
  if (!read || !same_database) {
    std::cerr << (read ? "tierctl: the catalogue has just been rebuilt; run the command again" : read.error()) << "\n";
    outcome.code = kCannot;
  } else if (!std::cout) {
    std::cerr << "tierctl: the listing is incomplete: standard output could not be written\n";
    outcome.code = kCannot;
  } else if (full != Full::kNo && full != Full::kNoToken) {
    std::cerr << "tierctl: the token cannot be answered: " << kWhyFull[static_cast<int>(full)] << "; every entry has been listed\n";
    outcome.code = kFullListing;
  }
}

}  // namespace

void AddChanges(Verb app, Outcome& outcome) {
  const Verb verb = app.AddVerb("changes", "The paths of a tier that changed since a token, each once with its last state");
  auto request = std::make_shared<Request>();
  verb.AddOption("MOUNT", request->mount, "config file, mountpoint or name").Required();
  verb.AddOption("-t,--tier", request->tier, "which tier (2)").Between(1, 3);
  verb.AddOption("-s,--since", request->since, "the token that the last listing ended with; without it every entry is listed");
  verb.AddFlag("--tree", request->tree, "only print the directory that the paths are relative to");
  verb.AddFlag("-0", request->nul, "end each record with a NUL, paths as they are");
  verb.AddFlag("--json", request->json, "for programs");
  verb.Footer(
      "A record is a letter, a space and the path, relative to the tier's tree (\".\" is the tree itself): A added, M modified,\n"
      "m metadata only (a file rewritten with the same bytes too, when its checksum was known), D deleted. The last record is\n"
      "\"= TOKEN\", the token for the next time. More may be listed than has changed, never less. Exit code 4: the token cannot be\n"
      "answered any more, and every entry has been listed; deletions are unknown, so compare whole trees.");
  verb.OnRun([request, &outcome] { Changes(*request, outcome); });
}

}  // namespace tierfs::tools
