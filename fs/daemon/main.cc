#include <cstdio>

#include "fs/daemon/service.h"

int main(int argc, char** argv) {
  const auto options = tierfs::ParseCommandLine(argc, argv);
  if (!options) {
    std::fprintf(options.error().failed ? stderr : stdout, "%s%s", options.error().text.c_str(), options.error().failed ? "\n" : "");
    return options.error().failed ? 2 : 0;
  }
  if (options->remount) {
    const auto done = tierfs::Remount(*options);
    if (!done) std::fprintf(stderr, "%s\n", done.error().c_str());
    return done ? 0 : 1;
  }
  tierfs::Background background(options->foreground);
  tierfs::Service service(*options, background);
  if (const auto outcome = service.Run(); !outcome) {
    background.Failed(outcome.error());
    return 1;
  }
  return 0;
}
