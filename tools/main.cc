// tierctl: the operator's tool.
#include <CLI/CLI.hpp>

#include <cstdio>
#include <exception>

#include "tools/verb.h"

int main(int argc, char** argv) {
  using namespace tierfs::tools;
  CLI::App app("Inspects and controls tierfs mounts.", "tierctl");
  app.set_version_flag("-V,--version", "tierctl " TIERFS_VERSION);
  app.require_subcommand(1);
  app.footer(
      "A mount is named by its config file, its mountpoint, or NAME for /etc/tierfs/NAME.toml.\n"
      "Exit codes: 0 done, 1 done with findings, 2 wrong usage or a file with errors, 3 it could not be done;\n"
      "some verbs have more; see their --help.");
  Outcome outcome;
#define TIERCTL_ADD(Name) Add##Name(Verb(app), outcome);
  TIERCTL_VERBS(TIERCTL_ADD)
#undef TIERCTL_ADD
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? kOk : kUsage;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "tierctl: %s\n", error.what());
    return kCannot;
  }
  return outcome.code;
}
