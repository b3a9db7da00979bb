#include "peers/sqlite.hpp"

#include <stdexcept>

namespace onced::bench {
namespace {

void check(int status, int expected, sqlite3* database) {
  if (status != expected) throw std::runtime_error(std::string("SQLite: ") + (database != nullptr ? sqlite3_errmsg(database) : "cannot open"));
}

}  // namespace

SqliteStore::SqliteStore(const std::filesystem::path& file) {
  check(sqlite3_open(file.c_str(), &database_), SQLITE_OK, database_);
  run("pragma journal_mode = wal; pragma synchronous = full; pragma mmap_size = 1073741824;"
      "create table cache (key blob primary key, value blob) without rowid");
  check(sqlite3_prepare_v2(database_, "insert or replace into cache values (?, ?)", -1, &insert_, nullptr), SQLITE_OK, database_);
  check(sqlite3_prepare_v2(database_, "select value from cache where key = ?", -1, &select_, nullptr), SQLITE_OK, database_);
}

SqliteStore::~SqliteStore() {
  sqlite3_finalize(insert_);
  sqlite3_finalize(select_);
  sqlite3_close(database_);
}

void SqliteStore::put(std::span<const std::string> keys, std::span<const std::string> values) {
  run("begin");
  for (std::size_t i = 0; i < keys.size(); ++i) {
    sqlite3_reset(insert_);
    sqlite3_bind_blob(insert_, 1, keys[i].data(), static_cast<int>(keys[i].size()), SQLITE_STATIC);
    sqlite3_bind_blob(insert_, 2, values[i].data(), static_cast<int>(values[i].size()), SQLITE_STATIC);
    check(sqlite3_step(insert_), SQLITE_DONE, database_);
  }
  sqlite3_reset(insert_);
  run("commit");
}

std::size_t SqliteStore::get(std::string_view key, std::string& into) {
  sqlite3_bind_blob(select_, 1, key.data(), static_cast<int>(key.size()), SQLITE_STATIC);
  check(sqlite3_step(select_), SQLITE_ROW, database_);
  into.assign(static_cast<const char*>(sqlite3_column_blob(select_, 0)), static_cast<std::size_t>(sqlite3_column_bytes(select_, 0)));
  sqlite3_reset(select_);
  return into.size();
}

void SqliteStore::run(const char* sql) { check(sqlite3_exec(database_, sql, nullptr, nullptr, nullptr), SQLITE_OK, database_); }

}  // namespace onced::bench
