// The address of a remote repository, and the login that it may hold.
#pragma once

#include <string>

#include "fs/os/process.h"

namespace tierfs::history {

// SCHEME://USER:PASSWORD@HOST/PATH, or any other form that git knows. Neither a message nor the
// arguments of a program, which everybody can read in /proc, may show the password.
class Remote {
 public:
  explicit Remote(const std::string& remote);

  // The remote as a message and an argument may have it: without the password; without the user
  // too, if it is a web address.
  [[nodiscard]] const std::string& address() const { return address_; }
  // Gives a git command the user and the password of a web address, through its environment. Git
  // sends them to no other host.
  void LogIn(Command& command) const;
  // The text without the remote's password.
  [[nodiscard]] std::string Hidden(std::string text) const;

 private:
  std::string whole_;
  std::string address_;
  std::string user_;
  std::string password_;
  bool web_ = false;
};

}  // namespace tierfs::history
