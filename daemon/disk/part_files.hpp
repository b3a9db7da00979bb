// Files of large parts (DISK.md, "Directory"): whole and synced before anything names them, only ever unlinked, never changed.
//
// Threads: write(), remove() and sweep() by the store's writer; read() from any thread.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <unordered_map>
#include <vector>

#include <onced/protocol/result.hpp>

#include "disk/directory.hpp"
#include "disk/files.hpp"
#include "disk/format.hpp"
#include "disk/part_sink.hpp"
#include "disk/session_key.hpp"

namespace onced::disk {

// Those of one value.
struct PartFiles {
  std::uint64_t id = 0;
  std::uint64_t bytes = 0;
  std::uint16_t count = 0;
  bool checked = false;  // this process has written them, or has found them whole

  // What they are charged with: whole blocks.
  std::uint64_t charged() const { return bytes + std::uint64_t{count} * 4096; }
};

class PartFileStore {
 public:
  explicit PartFileStore(FileSystem& files) : files_(files) {}

  // Writes, syncs and renames; sync_directories() before a record names them. With a key the file is sealed. The check is what the record
  // is to say of its content.
  Result<Digest> write(std::uint64_t id, std::uint32_t number, Bytes bytes, const SessionKey* key = nullptr);
  Result<void> sync_directories();
  // Gives its bytes to `into`, and holds them against the check while it does; with a key they are opened. not_found: there is no such file;
  // malformed: it is damaged, and what `into` has got is nothing; out_of_memory: `into` has no room.
  Result<void> read(std::uint64_t id, std::uint32_t number, std::uint64_t bytes, PieceSink& into, const Digest& content_check,
                    const SessionKey* key = nullptr) const;
  // To be handed on, if it is there with this size; and whether its bytes are right. Of one that is not sealed.
  Result<std::unique_ptr<File>> open(std::uint64_t id, std::uint32_t number, std::uint64_t bytes) const;
  Result<void> check(const File& file, std::uint64_t id, std::uint32_t number, std::uint64_t bytes, const Digest& content_check) const;
  // What is there no more is no error.
  Result<void> remove(const PartFiles& parts);
  // Moves a damaged one aside, or removes it.
  void set_aside(std::uint64_t id, std::uint32_t number, bool keep);

  struct Swept {
    std::unordered_map<std::uint64_t, std::uint32_t> found;  // how many files of each id
    std::uint64_t removed = 0;
  };
  // At the start: removes what nobody names and what was not finished. `wanted`: the number of files of this id, 0 for none.
  Result<Swept> sweep(const std::function<std::uint32_t(std::uint64_t id)>& wanted);

 private:
  static Result<void> read(const File& file, const std::string& name, std::uint64_t bytes, PieceSink& into, const Digest& content_check,
                           std::optional<Cipher>& cipher);
  static std::string directory(std::uint64_t id);
  static std::string name(std::uint64_t id, std::uint32_t number);

  FileSystem& files_;
  std::vector<std::string> to_sync_;
};

}  // namespace onced::disk
