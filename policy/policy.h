// Rules compiled into an automaton that steps one path component at a time.
//
// A directory's State holds everything that its path has decided so far: the highest rule that
// matched it or an ancestor, and the positions in rules that can still win below it. The class of a
// child is one step away, so it costs the same at depth 1 and at depth 40. A step looks the name up
// among literal components by one hash, and among globs by their literal prefix, suffix or inner
// run. Only the few rules that remain and can still win are tried.
//
// Threads share a policy without locks: the compiled form is constant. States, and steps that are
// expensive to compute, are made when first met, in tables that only grow. Memory: one state is
// kept for each distinct set of positions met at a directory, within Limits::state_bytes.
// Directories that lead to no further rule share one state for each deciding rule.
#pragma once

#include <cstddef>
#include <memory>
#include <string_view>
#include <vector>

#include "policy/diagnostic.h"
#include "policy/parse.h"
#include "policy/rule.h"

namespace tierfs::policy {

// A directory's place in a policy. Valid during the lifetime of that Policy.
class State {
 public:
  State() = default;
  bool operator==(const State&) const = default;

 private:
  friend class Automaton;
  explicit State(const void* data) : data_(data) {}
  const void* data_ = nullptr;
};

class Automaton;

struct Limits {
  // Memory for the states made while paths are met. Past it a new state costs a few dozen bytes for
  // each directory and is computed again at each use: slower, with the same answers. Only patterns
  // such as many `/x/**/a*/**/z` come near this limit.
  std::size_t state_bytes = std::size_t{64} << 20;
};

// Owns the rules and their compiled form. Threads may share it.
class Policy {
 public:
  explicit Policy(std::vector<Rule> rules, Limits limits = {});
  ~Policy();
  Policy(const Policy&) = delete;
  Policy& operator=(const Policy&) = delete;

  // Returns the state of the mount's root.
  [[nodiscard]] State Root() const noexcept;
  // Returns the state of the directory `name` in `directory`. Throws only std::bad_alloc.
  [[nodiscard]] State Step(State directory, std::string_view name) const;
  // Returns the class of the entry `name` in `directory`. For a directory it equals
  // DecisionOf(Step(...)), but no state is made. Allocates nothing, unless `directory` is past
  // Limits::state_bytes. If that allocation fails, the answer is data, by no rule.
  [[nodiscard]] Decision Classify(State directory, std::string_view name, bool is_dir) const noexcept;
  // Returns the class of the directory itself.
  [[nodiscard]] Decision DecisionOf(State directory) const noexcept;
  // True only if the two directories have the same tier and every path has the same tier beneath
  // both.
  [[nodiscard]] bool Equivalent(State a, State b) const;

  // Returns the class of a path relative to the mount's root; "" is the root itself. Skips empty
  // components.
  [[nodiscard]] Decision DecisionFor(std::string_view path, bool is_dir) const;

  [[nodiscard]] const std::vector<Rule>& rules() const { return rules_; }
  [[nodiscard]] const Rule& RuleOf(RuleId id) const { return rules_[id.value]; }

  // A rule that matched a path, and where.
  struct Match {
    RuleId rule;
    // The part of the path that the rule matched: the path itself or a directory above it.
    std::string at;
  };
  struct Explanation {
    Decision decision;
    // Every rule that matched: the winner first, then the rules it overrode, highest first.
    std::vector<Match> matches;
    // For a directory: rules that can still decide the class of a path beneath it.
    std::vector<RuleId> may_change_below;
  };
  [[nodiscard]] Explanation Explain(std::string_view path, bool is_dir) const;

  // The present memory use of the compiled form.
  struct Size {
    std::size_t states = 0;
    std::size_t folded = 0;  // states past Limits::state_bytes
    std::size_t bytes = 0;
  };
  [[nodiscard]] Size MemoryUsed() const;

 private:
  const std::vector<Rule> rules_;
  const std::unique_ptr<Automaton> automaton_;
};

struct ParseResult {
  std::shared_ptr<const Policy> policy;  // null when there are errors
  std::vector<Diagnostic> errors;
  std::vector<Diagnostic> suspicious;
};

// Parses and compiles a policy. `file` is its name in diagnostics.
[[nodiscard]] ParseResult Parse(std::string_view text, const std::string& file, const IncludeResolver& resolver);

}  // namespace tierfs::policy
