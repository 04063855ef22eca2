// tierctl explain: shows the class of a path, whether or not it is mounted or exists.
#include <sys/stat.h>

#include <iostream>

#include "tools/gate.h"
#include "tools/mounts.h"
#include "tools/output.h"
#include "tools/verb.h"

namespace tierfs::tools {
namespace {

struct Question {
  std::vector<std::string> paths;
  std::string config;
  std::string policy;
  bool json = false;
};

// The policy to apply, and the path relative to the mount's root.
struct Subject {
  policy::ParseResult policy;
  std::optional<Config> config;  // none if a policy file was named
  std::string relative;
  bool is_dir;
};

tl::expected<Subject, std::string> SubjectOf(const Question& question, const std::string& path) {
  Subject subject;
  const bool slash = !path.empty() && path.back() == '/';
  if (!question.policy.empty()) {
    subject.policy = LoadPolicyFile(question.policy);
    subject.relative = path;
    subject.is_dir = slash;
  } else {
    const std::string absolute = AbsolutePath(path);
    const auto mount = MountOf(absolute);
    if (question.config.empty() && !mount) {
      return tl::unexpected("tierctl: " + Printable(path) +
                            " is not on a tierfs mount; name the mount with --config or the rules with --policy");
    }
    const auto config = FindConfig(question.config.empty() ? mount->config : question.config);
    if (!config) return tl::unexpected(config.error());
    subject.config = *config;
    subject.policy = LoadPolicy(*config);
    const bool inside = mount && mount->config == config->file;
    subject.relative = inside ? absolute.substr(std::min(absolute.size(), mount->mountpoint.size())) : path;
    struct stat st {};
    subject.is_dir = slash || (inside && ::lstat(absolute.c_str(), &st) == 0 && S_ISDIR(st.st_mode));
  }
  if (!subject.policy.policy) return tl::unexpected(subject.policy.errors.front().Render());
  return subject;
}

nlohmann::json ToJson(const policy::Policy& policy, const policy::Policy::Explanation& explanation) {
  nlohmann::json json = {{"tier", NumberOf(explanation.decision.tier)}, {"rule", nullptr}, {"overrode", nlohmann::json::array()}};
  bool winner = true;
  for (const auto& match : explanation.matches) {
    const nlohmann::json rule = {{"rule", policy.RuleOf(match.rule).Describe()}, {"matched", match.at}};
    if (winner) {
      json["rule"] = rule;
    } else {
      json["overrode"].push_back(rule);
    }
    winner = false;
  }
  for (const auto& rule : explanation.may_change_below) json["may_change_below"].push_back(policy.RuleOf(rule).Describe());
  return json;
}

// Adds why the gate made the rule, and what can be done, if it is one of the gate's.
void AddGateReason(const Subject& subject, nlohmann::json& answer) {
  if (!subject.config || answer["rule"].is_null()) return;
  const std::string path = PathOnMount(*subject.config, subject.relative);
  const auto reason = GateReason(*subject.config, answer["rule"]["rule"], path);
  if (reason) answer["gate"] = {{"reason", *reason}, {"cure", GateCure(*subject.config, path)}};
}

void Print(const std::string& path, const nlohmann::json& answer) {
  std::cout << Printable(path) << "\n  tier " << answer["tier"] << "\n";
  if (answer["rule"].is_null()) {
    std::cout << "  no rule matches, so it is data\n";
  } else {
    std::cout << "  by       " << Printable(answer["rule"]["rule"].get<std::string>()) << "   (matches "
              << Printable(answer["rule"]["matched"].get<std::string>()) << ")\n";
  }
  if (answer.contains("gate")) {
    std::cout << "  gate     " << Printable(answer["gate"]["reason"].get<std::string>()) << "\n           "
              << Printable(answer["gate"]["cure"].get<std::string>()) << "\n";
  }
  for (const auto& rule : answer["overrode"]) {
    std::cout << "  overrode " << Printable(rule["rule"].get<std::string>()) << "   (matches "
              << Printable(rule["matched"].get<std::string>()) << ")\n";
  }
  if (answer.contains("may_change_below")) {
    std::cout << "  these rules can still decide otherwise beneath it:\n";
    for (const auto& rule : answer["may_change_below"]) std::cout << "           " << Printable(rule.get<std::string>()) << "\n";
  }
}

}  // namespace

void AddExplain(Verb app, Outcome& outcome) {
  const Verb verb = app.AddVerb("explain", "The tier that a path belongs to, the rule that says so, and the rules that it overrode");
  auto question = std::make_shared<Question>();
  verb.AddOption("PATH", question->paths, "paths; need not exist; a trailing slash means a directory").Required();
  verb.AddOption("--config", question->config, "use this mount's policy; paths are relative to its root");
  verb.AddOption("--policy", question->policy, "use this policy file; paths are relative to the mount's root");
  verb.AddFlag("--json", question->json, "for programs");
  verb.OnRun([question, &outcome] {
    nlohmann::json all = nlohmann::json::array();
    for (const std::string& path : question->paths) {
      const auto subject = SubjectOf(*question, path);
      if (!subject) {
        std::cerr << subject.error() << "\n";
        outcome.code = kUsage;
        return;
      }
      nlohmann::json answer = ToJson(*subject->policy.policy, subject->policy.policy->Explain(subject->relative, subject->is_dir));
      AddGateReason(*subject, answer);
      if (!question->json) Print(path, answer);
      answer["path"] = path;
      all.push_back(std::move(answer));
    }
    if (question->json) PrintJson(all);
  });
}

}  // namespace tierfs::tools
