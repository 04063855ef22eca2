// A small system, for lower layers: an entry of every kind, with attributes of every kind, and
// dates of before 2002.
#pragma once

#include <string>

namespace tierfs::test {

// Fills `directory`: usr/bin/tool is setuid, usr/bin/net has a capability, usr/share/one and
// usr/share/two are one file, etc/conf belongs to 1000:100 and has an xattr, etc/acl an ACL,
// etc/link is a symlink, dev/zero a device, run/fifo and run/socket are what they say, var/sparse
// ends in data behind a hole of 1 MiB, var/spool is an empty setgid directory, var/log has files.
void FillImage(const std::string& directory);

}  // namespace tierfs::test
