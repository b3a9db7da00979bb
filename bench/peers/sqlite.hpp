// SQLite as a peer: one table of keys and values, read by a prepared statement through its memory map; write-ahead log, as its own
// documentation advises for speed.
//
// Threads: one at a time. Errors: std::runtime_error.
#pragma once

#include <sqlite3.h>

#include <filesystem>
#include <span>
#include <string>
#include <string_view>

namespace onced::bench {

class SqliteStore {
 public:
  explicit SqliteStore(const std::filesystem::path& file);
  ~SqliteStore();
  SqliteStore(const SqliteStore&) = delete;
  SqliteStore& operator=(const SqliteStore&) = delete;

  // All of them in one transaction, durable when it returns.
  void put(std::span<const std::string> keys, std::span<const std::string> values);
  // Copies the value; its bytes.
  std::size_t get(std::string_view key, std::string& into);

 private:
  void run(const char* sql);
  sqlite3* database_ = nullptr;
  sqlite3_stmt* insert_ = nullptr;
  sqlite3_stmt* select_ = nullptr;
};

}  // namespace onced::bench
