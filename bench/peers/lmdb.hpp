// LMDB as a peer: one database of its own in a temporary directory, read through the memory map.
//
// Threads: one at a time. Errors: std::runtime_error.
#pragma once

#include <lmdb.h>

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "harness/process.hpp"

namespace onced::bench {

class LmdbStore {
 public:
  // Stores values[i] under keys[i]: in the keys' order and without sync, which makes the fullest pages.
  LmdbStore(std::span<const std::string> keys, std::span<const std::string> values);
  ~LmdbStore();
  LmdbStore(const LmdbStore&) = delete;
  LmdbStore& operator=(const LmdbStore&) = delete;

  // A 64-byte value's bytes folded into a word, in the snapshot that was taken last.
  std::uint64_t get_small_value(std::string_view key);
  // Gives the snapshot back and takes the newest, as a reader must that wants present values.
  void renew();

 private:
  TemporaryDirectory directory_;
  MDB_env* environment_ = nullptr;
  MDB_dbi database_ = 0;
  MDB_txn* reading_ = nullptr;
};

}  // namespace onced::bench
