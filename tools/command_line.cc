#include "tools/command_line.h"

#include <CLI/CLI.hpp>

#include <utility>
#include <vector>

namespace tierfs::tools {

Option Option::Required() const { return Option(*option_->required()); }
Option Option::Needs(Option other) const { return Option(*option_->needs(other.option_)); }
Option Option::Excludes(Option other) const { return Option(*option_->excludes(other.option_)); }
Option Option::Between(int least, int most) const { return Option(*option_->check(CLI::Range(least, most))); }
Option Option::Positive() const { return Option(*option_->check(CLI::PositiveNumber)); }
Option Option::ExistingDirectory() const { return Option(*option_->check(CLI::ExistingDirectory)); }
Option Option::Check(std::function<std::string(const std::string&)> error) const { return Option(*option_->check(std::move(error))); }
Option Option::Values(int least, int most) const { return Option(*option_->expected(least, most)); }
Option Option::OneValueEach() const { return Option(*option_->allow_extra_args(false)); }
Option Option::SeparatedBy(char separator) const { return Option(*option_->delimiter(separator)); }
Option Option::ShowsDefault() const { return Option(*option_->capture_default_str()); }

Verb Verb::AddVerb(const std::string& name, const std::string& help) const { return Verb(*app_->add_subcommand(name, help)); }
void Verb::NeedsVerb() const { app_->require_subcommand(1); }
void Verb::Footer(const std::string& text) const { app_->footer(text); }
void Verb::OnRun(std::function<void()> run) const { app_->callback(std::move(run)); }

template <class T>
Option Verb::AddOption(const char* names, T& value, const std::string& help) const {
  return Option(*app_->add_option(names, value, help));
}

template Option Verb::AddOption(const char*, std::string&, const std::string&) const;
template Option Verb::AddOption(const char*, std::vector<std::string>&, const std::string&) const;
template Option Verb::AddOption(const char*, int&, const std::string&) const;
template Option Verb::AddOption(const char*, std::vector<int>&, const std::string&) const;
template Option Verb::AddOption(const char*, std::size_t&, const std::string&) const;
template Option Verb::AddOption(const char*, double&, const std::string&) const;

Option Verb::AddOption(const char* names, std::function<void(double)> set, const std::string& help) const {
  return Option(*app_->add_option_function<double>(names, std::move(set), help));
}

Option Verb::AddFlag(const char* names, bool& value, const std::string& help) const { return Option(*app_->add_flag(names, value, help)); }

}  // namespace tierfs::tools
