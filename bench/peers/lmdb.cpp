#include "peers/lmdb.hpp"

#include <algorithm>
#include <numeric>
#include <stdexcept>

#include "harness/timing.hpp"

namespace onced::bench {
namespace {

constexpr std::size_t map_bytes = std::size_t{1} << 30;

void check(int status) {
  if (status != MDB_SUCCESS) throw std::runtime_error(std::string("LMDB: ") + mdb_strerror(status));
}

MDB_val value_of(std::string_view bytes) {
  return {bytes.size(), const_cast<char*>(bytes.data())};
}

}  // namespace

LmdbStore::LmdbStore(std::span<const std::string> keys, std::span<const std::string> values) {
  check(mdb_env_create(&environment_));
  check(mdb_env_set_mapsize(environment_, map_bytes));
  check(mdb_env_open(environment_, directory_.path().c_str(), MDB_NOTLS | MDB_NOSYNC, 0600));

  std::vector<std::size_t> sorted(keys.size());
  std::iota(sorted.begin(), sorted.end(), std::size_t{0});
  std::sort(sorted.begin(), sorted.end(), [&](std::size_t a, std::size_t b) { return keys[a] < keys[b]; });
  MDB_txn* writing = nullptr;
  check(mdb_txn_begin(environment_, nullptr, 0, &writing));
  check(mdb_dbi_open(writing, nullptr, 0, &database_));
  for (const std::size_t i : sorted) {
    MDB_val key = value_of(keys[i]);
    MDB_val value = value_of(values[i]);
    check(mdb_put(writing, database_, &key, &value, MDB_APPEND));
  }
  check(mdb_txn_commit(writing));
  check(mdb_txn_begin(environment_, nullptr, MDB_RDONLY, &reading_));
}

LmdbStore::~LmdbStore() {
  mdb_txn_abort(reading_);
  mdb_env_close(environment_);
}

std::uint64_t LmdbStore::get_small_value(std::string_view key) {
  MDB_val wanted = value_of(key);
  MDB_val found{};
  check(mdb_get(reading_, database_, &wanted, &found));
  return read_small_value(found.mv_data);
}

void LmdbStore::renew() {
  mdb_txn_reset(reading_);
  check(mdb_txn_renew(reading_));
}

}  // namespace onced::bench
