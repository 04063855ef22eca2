// tierctl reload and rescan: requests to a running daemon.
#include <iostream>

#include "tools/mounts.h"
#include "tools/output.h"
#include "tools/verb.h"

namespace tierfs::tools {
namespace {

struct Request {
  std::string mount;
  bool dry_run = false;
  bool json = false;
};

// Sends a request to the daemon and prints the answer, with `describe` or as JSON.
template <typename Message, typename Describe>
void Send(const Request& request, const Message& message, Outcome& outcome, Describe describe) {
  const auto config = ConfigFor(request.mount, outcome);
  if (!config) return;
  const auto reply = Ask(*config, message);
  if (!reply) {
    std::cerr << reply.error() << "\n";
    outcome.code = kCannot;
    return;
  }
  if (request.json) {
    PrintJson(*reply);
  } else {
    describe(*reply);
  }
}

std::shared_ptr<Request> AddRequest(Verb verb) {
  auto request = std::make_shared<Request>();
  verb.AddOption("MOUNT", request->mount, "config file, mountpoint or name").Required();
  verb.AddFlag("--json", request->json, "for programs");
  return request;
}

}  // namespace

void AddReload(Verb app, Outcome& outcome) {
  const Verb verb = app.AddVerb("reload", "Loads a changed policy; one with errors is refused and the old one stays");
  auto request = AddRequest(verb);
  verb.AddFlag("-n,--dry-run", request->dry_run, "only check it");
  verb.OnRun([request, &outcome] {
    Send(*request, protocol::Reload{"", request->dry_run}, outcome,
         [&](const protocol::Reloaded& reply) { std::cout << (request->dry_run ? "good: " : "loaded: ") << reply.rules << " rules\n"; });
  });
}

void AddRescan(Verb app, Outcome& outcome) {
  const Verb verb = app.AddVerb(
      "rescan", "Takes in changes made directly in the trees: drops the kernel's caches, compares the catalogue with the trees");
  auto request = AddRequest(verb);
  verb.OnRun([request, &outcome] {
    Send(*request, protocol::Rescan{}, outcome, [](const protocol::Rescanned& reply) {
      std::cout << "caches dropped for " << reply.nodes << " files, " << reply.differed << " changes that were not recorded yet\n";
    });
  });
}

}  // namespace tierfs::tools
