// A small system for lower layers: every kind of entry, every kind of attribute, dates before 2002.
#pragma once

#include <string>

namespace tierfs::test {

// Fills `directory`:
// - usr/bin/tool is setuid; usr/bin/net has a capability.
// - usr/share/one and usr/share/two are one file.
// - etc/conf belongs to 1000:100 and has an xattr; etc/acl has an ACL; etc/link is a symlink.
// - dev/zero is a device, run/fifo a fifo, run/socket a socket.
// - var/sparse has data behind a hole of 1 MiB.
// - var/spool is an empty setgid directory; var/log has files.
void FillImage(const std::string& directory);

}  // namespace tierfs::test
