// tierctl backup: the built-in backup jobs.
#include "fs/jobs/backup/backup.h"

#include <unistd.h>

#include <iostream>

#include "tools/catalogue.h"
#include "tools/mounts.h"
#include "tools/output.h"
#include "tools/verb.h"

namespace tierfs::tools {
namespace {

constexpr std::size_t kShown = 20;

struct Request {
  BackupRequest job;
  std::string mount;
  // Empty: those of tiers 1 and 2 that are recorded.
  std::vector<int> tiers;
  bool quiet = false;
  bool json = false;
};

const char* NameOf(BackupReport::Pass pass) {
  static constexpr const char* kNames[] = {"incremental", "full", "skipped"};
  return kNames[static_cast<int>(pass)];
}

nlohmann::json ToJson(int tier, const BackupReport& report) {
  nlohmann::json json = {{"tier", tier},
                         {"complete", true},
                         {"pass", NameOf(report.pass)},
                         {"why_full", report.why_full},
                         {"token", report.token},
                         {"archive", report.archive},
                         {"changed_while_read", report.changed_while_read},
                         {"seconds", report.seconds},
                         {"log", report.log}};
  json["changed"] = report.changed ? nlohmann::json(*report.changed) : nlohmann::json();
  json["missed"] = report.missed ? nlohmann::json(report.missed->size()) : nlohmann::json();
  json["missed_paths"] = report.missed.value_or(std::vector<std::string>());
  json["differs"] = report.differs ? nlohmann::json(report.differs->size()) : nlohmann::json();
  json["differing_paths"] = report.differs.value_or(std::vector<std::string>());
  json["sockets_left_out"] = report.sockets;
  json["damaged_paths"] = report.damaged;
  return json;
}

void PrintPaths(const std::vector<std::string>& paths) {
  for (std::size_t i = 0; i < std::min(paths.size(), kShown); ++i) std::cout << "  " << (paths[i].empty() ? "." : Quoted(paths[i])) << "\n";
  if (paths.size() > kShown) std::cout << "  and " << paths.size() - kShown << " more; --json names all\n";
}

void Print(int tier, const BackupReport& report, bool dry_run) {
  std::cout << "tier " << tier << ": ";
  if (report.pass == BackupReport::Pass::kSkipped) {
    std::cout << "nothing has changed since " << report.archive << "; no archive was made\n";
  } else {
    const std::string changed = report.changed ? std::to_string(*report.changed) + " changed paths" : std::string();
    std::cout << (report.pass == BackupReport::Pass::kFull ? "full pass (" + report.why_full + ")" : "incremental pass");
    if (!changed.empty()) std::cout << ", " << changed;
    if (dry_run) {
      std::cout << "; nothing was copied (dry run); what would be is in " << report.log << "\n";
      return;
    }
    std::cout << "; complete" << (report.archive.empty() ? "" : " as " + report.archive) << ", "
              << static_cast<std::uint64_t>(report.seconds * 10) / 10.0 << " s\n";
  }
  if (report.changed_while_read > 0) {
    std::cout << "  " << report.changed_while_read << " files changed while they were read; the next archive has them right\n";
  }
  if (report.missed) {
    std::cout << "  missed by earlier passes: " << report.missed->size() << "\n";
    PrintPaths(*report.missed);
  }
  if (report.sockets > 0) std::cout << "  left out: " << report.sockets << " sockets, which borg cannot keep\n";
  if (!report.damaged.empty()) {
    std::cout << "  restic before 0.16 cannot keep the target of " << report.damaged.size() << " symlinks, which is not UTF-8\n";
    PrintPaths(report.damaged);
  }
  if (report.differs) {
    std::cout << "  verified: " << report.differs->size() << " paths differ from the tree\n";
    PrintPaths(*report.differs);
  }
}

void Backup(const Request& request, Outcome& outcome) {
  const auto config = ConfigFor(request.mount, outcome);
  if (!config) return;
  std::vector<int> tiers = request.tiers;
  for (const TierId tier : config->feed) {
    if (request.tiers.empty() && NumberOf(tier) <= 2) tiers.push_back(NumberOf(tier));
  }
  nlohmann::json all = nlohmann::json::array();
  for (const int tier : tiers) {
    BackupRequest job = request.job;
    job.tier = static_cast<TierId>(tier);
    BackupResult<BackupReport> report = tl::unexpected(BackupError{});
    {
      Progress progress("tier " + std::to_string(tier) + ":");
      std::function<void(const std::string&)> show;
      if (::isatty(STDERR_FILENO) == 1) show = [&](const std::string& text) { progress.Show(Printable(text)); };
      report = RunBackup(*config, job, show);
    }
    if (!report) {
      std::cerr << "tierctl: tier " << tier << " is not backed up: " << Printable(report.error().text) << "\n";
      all.push_back({{"tier", tier}, {"complete", false}, {"error", report.error().text}});
      outcome.code = report.error().usage ? kUsage : kCannot;
      if (report.error().usage) break;
      continue;
    }
    if (!request.json && !request.quiet) Print(tier, *report, job.dry_run);
    all.push_back(ToJson(tier, *report));
    const bool findings =
        (report->missed && !report->missed->empty()) || (report->differs && !report->differs->empty()) || !report->damaged.empty();
    if (findings && request.quiet && !request.json) Print(tier, *report, job.dry_run);
    if (findings && outcome.code == kOk) outcome.code = kFindings;
  }
  if (request.json) PrintJson(all);
}

void AddTool(Verb backup, Outcome& outcome, BackupTool tool, const char* name, const char* what, const char* destination,
             const char* footer) {
  const Verb verb = backup.AddVerb(name, what);
  auto request = std::make_shared<Request>();
  request->job.tool = tool;
  verb.AddOption("MOUNT", request->mount, "config file, mountpoint or name; it has to be mounted").Required();
  verb.AddOption("DESTINATION", request->job.destination, destination).Required().Check([](const std::string& text) {
    return text.empty() || text == "/" ? std::string("not a valid backup destination") : std::string();
  });
  verb.AddOption("OPTIONS", request->job.tool_options,
                 std::string("behind -- : options for the call of ") + name + " that copies, as --option=value");
  verb.AddOption("-t,--tier", request->tiers, "only this tier (1 and 2); may be given again").Between(1, 3).OneValueEach();
  verb.AddFlag("--full", request->job.full, "make a full pass: compare or read everything");
  verb.AddOption("--full-every", request->job.full_every, "make a pass a full one after this many days (7)").Between(0, 36500);
  if (tool != BackupTool::kRsync) {
    verb.AddFlag("--skip-unchanged", request->job.skip_unchanged, "make no archive when nothing has changed since the last one");
  }
  verb.AddFlag("--verify", request->job.verify, "compare the copy with the tree afterwards");
  verb.AddFlag("-n,--dry-run", request->job.dry_run, "only say what would be done");
  verb.AddFlag("-q,--quiet", request->quiet, "print only findings and errors");
  verb.AddFlag("--json", request->json, "for programs");
  verb.Footer(footer);
  verb.OnRun([request, &outcome] { Backup(*request, outcome); });
}

}  // namespace

void AddBackup(Verb app, Outcome& outcome) {
  const Verb verb = app.AddVerb("backup", "Backs up tiers 1 and 2 with rsync, borg or restic; copies only what changed");
  verb.NeedsVerb();
  verb.Footer(
      "Each tool has its own --help. Exit codes: 0 the backup is complete; 1 it is complete, and a full pass found what earlier passes "
      "had\n"
      "missed, or --verify a difference; 2 wrong usage; 3 it is not complete, and the next run repeats it.\n"
      "What the tool printed is in STATE/backup/; the log of the run before is kept.");
  AddTool(
      verb, outcome, BackupTool::kRsync, "rsync", "Keeps a copy of each tier's tree", "an existing directory, here or as HOST:PATH",
      "The copy of tier 2 is DESTINATION/tier2, with owners, dates, hard links, ACLs, xattrs, holes and whiteouts; deleted files go\n"
      "from it. DESTINATION/tier2.token says up to which change it is complete. A pass copies what the feed names, each file anew\n"
      "(so hard-linked copies of yesterday, cp -al, stay as they are); a full pass compares size and date of everything; --verify\n"
      "compares the content of everything. Both sides need root for owners and whiteouts. A local destination is synced before its token\n"
      "is written; a remote one is not.");
  AddTool(verb, outcome, BackupTool::kBorg, "borg", "Makes an archive of each tier", "a borg repository that has been initialised",
          "Archives are HOST-MOUNT-tierN-DATE; one that was cut short is HOST-MOUNT-tierN-unfinished-DATE, and goes with the next\n"
          "complete one.\n"
          "borg reads the files whose ctime, size or inode changed; a full pass reads all, and compares the archive with the last one.\n"
          "--verify compares the archive's listing with the catalogue. borg itself reads BORG_PASSPHRASE and the like.");
  AddTool(
      verb, outcome, BackupTool::kRestic, "restic", "Makes a snapshot of each tier", "a restic repository that has been initialised",
      "Snapshots have the tags tierfs:HOST-MOUNT-tierN and tierfs-token:TOKEN; one without a token was cut short, and goes with the next\n"
      "complete one. restic reads the files whose ctime, size or inode changed; a full pass reads all (--force), and compares the\n"
      "snapshot with the last one. --verify compares the snapshot's listing with the catalogue. restic itself\n"
      "reads RESTIC_PASSWORD_FILE and the like.");
}

}  // namespace tierfs::tools
