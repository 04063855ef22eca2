// Rules compiled into an automaton that steps one path component at a time.
//
// A directory's State holds what its path has decided so far: the highest rule that matched it or
// something above it, and the positions in rules that could still win below it. The class of a
// child is one step from there, so it costs the same at depth 1 and at depth 40. A step looks the
// name up among literal components by one hash, and among globs by what they begin with, end with
// or hold; only those few that this leaves, and could still win, are tried.
//
// Shared by threads without locks: what is compiled is constant; states, and steps that are dear to
// work out, are made when they are first met, in tables that only grow. Memory: a state is kept for
// each distinct set of positions that a directory was met with, within Limits::state_bytes;
// directories that are on the way to nothing share one state for each deciding rule.
#pragma once

#include <cstddef>
#include <memory>
#include <string_view>
#include <vector>

#include "policy/diagnostic.h"
#include "policy/parse.h"
#include "policy/rule.h"

namespace tierfs::policy {

// A directory's place in a policy. Valid as long as that Policy lives.
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
  // Memory for states that are made while paths are met. Past it a new state costs a few dozen
  // bytes a directory and is worked out anew each time that it is used: slower, with the same
  // answers. Only patterns such as many `/x/**/a*/**/z` come near it.
  std::size_t state_bytes = std::size_t{64} << 20;
};

class Policy {
 public:
  explicit Policy(std::vector<Rule> rules, Limits limits = {});
  ~Policy();
  Policy(const Policy&) = delete;
  Policy& operator=(const Policy&) = delete;

  // The root of the mount.
  [[nodiscard]] State Root() const noexcept;
  // The state of the directory `name` in `directory`. Throws nothing but std::bad_alloc.
  [[nodiscard]] State Step(State directory, std::string_view name) const;
  // The class of the entry `name` in `directory`: DecisionOf(Step(...)) for a directory, without
  // making a state. Allocates nothing, unless `directory` is past Limits::state_bytes; if there is
  // no memory then, the answer is data, by no rule.
  [[nodiscard]] Decision Classify(State directory, std::string_view name, bool is_dir) const noexcept;
  // The class of the directory itself.
  [[nodiscard]] Decision DecisionOf(State directory) const noexcept;
  // True only when every path beneath the one has the same tier as beneath the other, and they
  // themselves have.
  [[nodiscard]] bool Equivalent(State a, State b) const;

  // The class of a path relative to the mount's root ("" is the root itself); empty components are
  // passed over.
  [[nodiscard]] Decision DecisionFor(std::string_view path, bool is_dir) const;

  [[nodiscard]] const std::vector<Rule>& rules() const { return rules_; }
  [[nodiscard]] const Rule& RuleOf(RuleId id) const { return rules_[id.value]; }

  // What a path's class comes from.
  struct Match {
    RuleId rule;
    std::string at;  // the part of the path that the rule matched: the path itself or a directory above it
  };
  struct Explanation {
    Decision decision;
    std::vector<Match> matches;            // every rule that matched, the winner first, then those it overrode, highest first
    std::vector<RuleId> may_change_below;  // of a directory: rules that can still decide something beneath it
  };
  [[nodiscard]] Explanation Explain(std::string_view path, bool is_dir) const;

  // What the compiled form holds just now.
  struct Size {
    std::size_t states = 0;
    std::size_t folded = 0;  // of them past Limits::state_bytes
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

// Parses and compiles. `file` is the name that diagnostics show.
[[nodiscard]] ParseResult Parse(std::string_view text, const std::string& file, const IncludeResolver& resolver);

}  // namespace tierfs::policy
