// The command line of tierctl, one handle for each verb and each option. Only command_line.cc and
// main.cc include CLI11, which is header-only: a file that includes it takes 10 s to compile, and
// 25 s under the sanitizers.
#pragma once

#include <functional>
#include <string>

namespace CLI {
class App;
class Option;
}  // namespace CLI

namespace tierfs::tools {

// An option or argument of a verb. It belongs to the verb; the handle may be copied. Each function
// returns the same option.
class Option {
 public:
  explicit Option(CLI::Option& option) : option_(&option) {}

  Option Required() const;
  Option Needs(Option other) const;
  Option Excludes(Option other) const;
  // A number in this range; both ends belong to it.
  Option Between(int least, int most) const;
  Option Positive() const;
  Option ExistingDirectory() const;
  // `error` returns what is wrong with a text, or "".
  Option Check(std::function<std::string(const std::string&)> error) const;
  // How many values it takes.
  Option Values(int least, int most) const;
  // Takes one value each time that it is given. Without this, an option for a list takes all that
  // follow.
  Option OneValueEach() const;
  Option SeparatedBy(char separator) const;
  // The help shows the present value of the variable.
  Option ShowsDefault() const;

 private:
  CLI::Option* option_;
};

// A verb, or the program itself. It belongs to the program; the handle may be copied.
class Verb {
 public:
  explicit Verb(CLI::App& app) : app_(&app) {}

  [[nodiscard]] Verb AddVerb(const std::string& name, const std::string& help) const;
  // One of its verbs has to be given.
  void NeedsVerb() const;
  // `names` is "-t,--tier" for an option, or "PATH" for an argument. The variable must live as long
  // as the program. T is a string, a number, or a list of them.
  template <class T>
  Option AddOption(const char* names, T& value, const std::string& help = "") const;
  Option AddOption(const char* names, std::function<void(double)> set, const std::string& help) const;
  Option AddFlag(const char* names, bool& value, const std::string& help) const;
  // The text beneath the help.
  void Footer(const std::string& text) const;
  // What the verb does, once its whole command line is known to be right.
  void OnRun(std::function<void()> run) const;

 private:
  CLI::App* app_;
};

}  // namespace tierfs::tools
