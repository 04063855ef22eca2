// tierctl check: checks the trees, the lower layers and the catalogue of a mount against their
// required state.
#include <fcntl.h>
#include <sys/file.h>

#include <iostream>

#include "fs/config/tier_locks.h"
#include "fs/jobs/check/check.h"
#include "fs/os/unique_fd.h"
#include "tools/catalogue.h"
#include "tools/mounts.h"
#include "tools/output.h"
#include "tools/verb.h"

namespace tierfs::tools {
namespace {

struct Request {
  std::string mount;
  bool repair = false;
  bool dry_run = false;
  bool json = false;
};

tl::expected<std::vector<check::Finding>, std::string> FindingsOf(const check::Subject& subject, const protocol::DaemonStatus* daemon) {
  Progress progress("checking:");
  const auto show = [&progress](std::uint64_t seen) { progress.Show(seen); };
  std::vector<check::Finding> findings = check::CheckLayers(subject, daemon);
  // A replaced path holds nothing of this mount.
  if (!findings.empty()) return findings;
  auto trees = check::CheckTrees(subject, show);
  if (!trees) return trees;
  for (check::Finding& finding : check::CheckCatalogue(subject, show)) trees->push_back(std::move(finding));
  return trees;
}

void Check(const Request& request, Outcome& outcome) {
  const auto fail = [&outcome](int code, const std::string& line) {
    std::cerr << line << "\n";
    outcome.code = code;
  };
  if (request.dry_run && !request.repair) return fail(kUsage, "tierctl: -n says what --repair would do; give both");
  const auto config = FindConfig(request.mount);
  if (!config) return fail(kUsage, config.error());
  const policy::ParseResult policy = LoadPolicy(*config);
  if (!policy.policy) return fail(kUsage, policy.errors.front().Headline());
  const auto daemon = Ask(*config, protocol::Status{});
  const bool mounted = daemon.has_value();
  // If nothing is mounted, hold the locks so that no daemon mounts during the check.
  UniqueFd lock;
  ConfigResult<std::vector<UniqueFd>> tier_locks;
  if (!mounted) {
    lock = UniqueFd(::open((config->state + "/lock").c_str(), O_RDONLY | O_CLOEXEC));
    if (lock && ::flock(lock.get(), LOCK_EX | LOCK_NB) != 0) return fail(kCannot, daemon.error());
    tier_locks = LockTiers(*config);
    if (!tier_locks) return fail(kCannot, tier_locks.error().Render());
  }
  const check::Subject subject{*config, *policy.policy, mounted};
  const auto findings = FindingsOf(subject, mounted ? &*daemon : nullptr);
  if (!findings) return fail(kCannot, findings.error());

  std::size_t left = 0;
  std::size_t mended = 0;
  nlohmann::json all = nlohmann::json::array();
  for (const check::Finding& finding : *findings) {
    std::string state = "found";
    if (request.repair && !finding.repair) state = "left";
    if (request.repair && finding.repair) {
      state = "would be repaired";
      if (!request.dry_run) {
        const check::Repaired repaired = finding.repair();
        state = repaired ? "repaired" : "not repaired: " + repaired.error();
      }
    }
    ++(state == "repaired" ? mended : left);
    nlohmann::json entry = PathToJson(finding.path);
    entry.update({{"code", finding.code}, {"what", finding.what}, {"cure", finding.cure}, {"state", state}});
    if (!request.json) {
      std::cout << finding.code << (finding.path.empty() ? "" : " " + Quoted(finding.path)) << ": " << Printable(finding.what) << "\n";
      std::cout << (request.repair ? "  " + Printable(state) + "; cure: " : "  cure: ") << Printable(finding.cure) << "\n";
    }
    all.push_back(std::move(entry));
  }
  // The repairs changed the trees beneath the daemon.
  if (mounted && mended > 0) (void)Ask(*config, protocol::Rescan{});
  if (request.json) {
    PrintJson({{"mounted", mounted}, {"findings", all}});
  } else if (findings->empty()) {
    std::cout << config->name << ": nothing found\n";
  }
  if (left > 0) outcome.code = kFindings;
}

}  // namespace

void AddCheck(Verb app, Outcome& outcome) {
  const Verb verb = app.AddVerb("check", "Checks the trees and the catalogue of a mount; with --repair also repairs them");
  auto request = std::make_shared<Request>();
  verb.AddOption("MOUNT", request->mount, "config file, mountpoint or name").Required();
  verb.AddFlag("--repair", request->repair, "repair everything that needs no decision by a person");
  verb.AddFlag("-n,--dry-run", request->dry_run, "with --repair: only say what would be repaired");
  verb.AddFlag("--json", request->json, "for programs");
  verb.Footer(
      "Works mounted and unmounted. Codes: layer-replaced, identity, duplicate, misplaced, stray-whiteout, directory-attributes,\n"
      "unfinished-directory, foreign-mount, foreign-attribute, unreadable, open-intent, catalogue-damaged, catalogue-differs. After\n"
      "layer-replaced or identity nothing else is looked at. Exit code 1: something was found and is not repaired.");
  verb.OnRun([request, &outcome] { Check(*request, outcome); });
}

}  // namespace tierfs::tools
