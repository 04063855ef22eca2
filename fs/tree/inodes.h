// Reads and changes the attributes, extended attributes and flags of nodes.
#pragma once

#include <sys/statvfs.h>

#include <functional>
#include <string>

#include "fs/os/caller.h"
#include "fs/tree/copies.h"

namespace tierfs {

// Owns nothing. A change applies to a file, or to every part that a directory has in a tier. A node
// that is in no tier is copied up first. Callers hold no lock.
class Inodes {
 public:
  Inodes(const LayerSet& layers, NodeTable& nodes, Classifier& classifier, Directories& directories, ChangeReporter& reporter,
         Copies& copies, OpenFiles& open_files, Topology& topology, const Answers& answers)
      : layers_(layers),
        nodes_(nodes),
        classifier_(classifier),
        directories_(directories),
        reporter_(reporter),
        copies_(copies),
        open_files_(open_files),
        topology_(topology),
        answers_(answers) {}

  void Attach(Kernel* kernel) { kernel_ = kernel; }

  [[nodiscard]] Result<Attributes> GetAttributes(NodeId node, HandleId handle);
  [[nodiscard]] Result<Attributes> SetAttributes(const Caller& caller, NodeId node, const AttributeChange& change, HandleId handle);
  [[nodiscard]] Result<std::string> ReadLink(NodeId node);
  // The space of the tier that a write to the node goes to.
  [[nodiscard]] Result<struct statvfs> SpaceOf(NodeId node);

  [[nodiscard]] Result<std::string> GetXattr(NodeId node, const char* name);
  // The names, each with its NUL, as listxattr(2) returns them to the caller.
  [[nodiscard]] Result<std::string> ListXattrs(const Caller& caller, NodeId node);
  [[nodiscard]] Status SetXattr(const Caller& caller, NodeId node, const char* name, const void* value, size_t size, int flags);
  [[nodiscard]] Status RemoveXattr(NodeId node, const char* name);

  // For ioctls that read. Runs `ask` on a descriptor of a file, or of the first part of a
  // directory.
  [[nodiscard]] Status AskThroughFile(NodeId node, const std::function<Status(int fd)>& ask);
  // For ioctls that write. Runs `change` on a descriptor of a file, or of every part that a
  // directory has in a tier.
  [[nodiscard]] Status ChangeThroughFile(NodeId node, const std::function<Status(int fd)>& change);

 private:
  // EPERM unless the caller may take the setuid and setgid bits from the node by a chown(-1, -1).
  [[nodiscard]] Status MayDropBits(const Caller& caller, const NodePtr& node);
  // The value of the extended attribute `what` of user.tierfs, which tells where the node is.
  // ENODATA for an unknown attribute.
  [[nodiscard]] Result<std::string> OwnXattr(const NodePtr& node, std::string_view what);
  // Runs `apply` on the file, or on every part that the directory has in a tier, and reports
  // `change`.
  using Apply = std::function<Status(const NodePtr&, const Location&)>;
  [[nodiscard]] Status ChangeParts(NodeId node, Feed::Change change, const Apply& apply);

  const LayerSet& layers_;
  NodeTable& nodes_;
  Classifier& classifier_;
  Directories& directories_;
  ChangeReporter& reporter_;
  Copies& copies_;
  OpenFiles& open_files_;
  Topology& topology_;
  const Answers& answers_;
  Kernel* kernel_ = nullptr;
};

}  // namespace tierfs
