// Who may read what is in a store, as its owner says it: kept for the owner's next start, opaque here (DISK.md, "Audience").
//
// Ownership: borrows the file system.
// Threads:   one at a time; kept() is of the thread that opens.
// Errors:    open(): it may not be used. Damage is none: one copy is repaired from the other, if that can be written; without both, or where they
//            cannot be read, nobody knows. What is owed is so until recover() has written it.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include <onced/protocol/result.hpp>

#include "disk/directory.hpp"
#include "disk/files.hpp"

namespace onced::disk {

class AudienceFile {
 public:
  AudienceFile(FileSystem& files, std::uint64_t seed, Say say) : files_(files), seed_(seed), say_(std::move(say)) {}

  Result<void> open();
  // What was kept when it was opened. Nothing: it never was, or is lost.
  const std::optional<std::string>& kept() const { return kept_; }
  // It is this from now on: on stable storage when recover() has succeeded.
  void owe(std::string audience) { owed_ = std::move(audience); }
  Result<void> recover();
  std::uint64_t bytes() const { return bytes_; }

 private:
  Result<void> write(const std::string& audience);

  FileSystem& files_;
  std::uint64_t seed_;
  Say say_;
  std::optional<std::string> kept_;
  std::optional<std::string> owed_;
  std::uint64_t bytes_ = 0;
};

}  // namespace onced::disk
