// tierctl verify: reads files again and compares them with the checksums taken when they were last
// written.
#include "fs/jobs/verify.h"

#include <algorithm>
#include <cstring>
#include <iostream>

#include "tools/catalogue.h"
#include "tools/mounts.h"
#include "tools/output.h"
#include "tools/verb.h"

namespace tierfs::tools {
namespace {

struct Request {
  std::string mount;
  verify::Request verify;
  bool json = false;
};

template <typename Each>
nlohmann::json ListOf(const std::vector<Each>& all, const std::function<nlohmann::json(const Each&)>& details) {
  nlohmann::json list = nlohmann::json::array();
  for (const Each& each : all) {
    nlohmann::json entry = PathToJson(each.path);
    entry.update({{"tier", each.tier}});
    entry.update(details(each));
    list.push_back(std::move(entry));
  }
  return list;
}

void PrintForPrograms(const verify::Report& report) {
  PrintJson({{"files", report.files},
             {"bytes", report.bytes},
             {"seconds", report.seconds},
             {"without_checksum", report.without_checksum},
             {"changed_since", report.changed},
             {"corrupt", ListOf<verify::Corrupt>(report.corrupt,
                                                 [](const verify::Corrupt& each) -> nlohmann::json {
                                                   return {{"recorded", each.recorded}, {"found", each.found}};
                                                 })},
             {"unreadable", ListOf<verify::Unreadable>(report.unreadable, [](const verify::Unreadable& each) -> nlohmann::json {
                return {{"error", std::strerror(each.error)}};
              })}});
}

void Print(const verify::Report& report) {
  for (const verify::Corrupt& each : report.corrupt) {
    std::cout << "corrupt: tier " << each.tier << " " << Quoted(each.path) << "\n  recorded " << each.recorded << "\n  found    "
              << each.found << "\n";
  }
  for (const verify::Unreadable& each : report.unreadable) {
    std::cout << "unreadable: tier " << each.tier << " " << Quoted(each.path) << ": " << std::strerror(each.error) << "\n";
  }
  const double seconds = std::max(1e-3, report.seconds);
  std::cout << report.files << " files, " << HumanSize(report.bytes) << " in " << static_cast<std::uint64_t>(seconds) << " s, "
            << HumanSize(static_cast<std::uint64_t>(static_cast<double>(report.bytes) / seconds)) << "/s; " << report.corrupt.size()
            << " corrupt, " << report.unreadable.size() << " unreadable, " << report.changed << " changed or in use meanwhile, "
            << report.without_checksum << " without a checksum yet\n";
}

void Show(Progress& line, const verify::Progress& now) {
  const double rate = static_cast<double>(now.bytes) / std::max(0.1, now.seconds);
  const double left = now.all_bytes > now.bytes ? static_cast<double>(now.all_bytes - now.bytes) / std::max(1.0, rate) : 0;
  line.Show("verified " + HumanSize(now.bytes) + " of " + HumanSize(now.all_bytes) + ", " + HumanSize(static_cast<std::uint64_t>(rate)) +
            "/s, " + std::to_string(static_cast<std::uint64_t>(left)) + " s left");
}

void Verify(const Request& request, Outcome& outcome) {
  const auto config = ConfigFor(request.mount, outcome);
  if (!config) return;
  tl::expected<verify::Report, std::string> report;
  {
    Progress line("");
    report = verify::Verify(*config, request.verify, [&line](const verify::Progress& now) { Show(line, now); });
  }
  if (!report) {
    std::cerr << report.error() << "\n";
    outcome.code = kCannot;
    return;
  }
  request.json ? PrintForPrograms(*report) : Print(*report);
  if (!report->AllWell()) outcome.code = kCorrupt;
}

}  // namespace

void AddVerify(Verb app, Outcome& outcome) {
  const Verb verb = app.AddVerb("verify", "Reads files of tiers 1 and 2 again and reports those that changed without a write");
  auto request = std::make_shared<Request>();
  verb.AddOption("MOUNT", request->mount, "config file, mountpoint or name").Required();
  verb.AddOption("-t,--tier", request->verify.tier, "only this tier").Between(1, 2);
  verb.AddFlag("--full", request->verify.full, "also read files that have no checksum yet, to find those that are unreadable");
  verb.AddOption("-r,--rate", request->verify.rate, "read at most this many MiB a second").Positive();
  verb.AddFlag("--json", request->json, "for programs");
  verb.Footer(
      "Works mounted and unmounted. A file counts as corrupt when its content differs from its checksum while its size and times are\n"
      "those that it had when the checksum was taken. Exit code 5: there are such files, or some that cannot be read.");
  verb.OnRun([request, &outcome] { Verify(*request, outcome); });
}

}  // namespace tierfs::tools
