// The disk tier's store beside SQLite, beside one file for each value, and beside a plain pread: what is in the page cache already.
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <memory>
#include <numeric>
#include <random>
#include <stdexcept>
#include <string>
#include <vector>

#include "cases/cases.hpp"
#include "disk/store.hpp"
#include "harness/process.hpp"
#include "harness/timing.hpp"
#include "peers/python_caches.hpp"
#include "peers/sqlite.hpp"

namespace onced::bench {
namespace {

std::unique_ptr<disk::Store> open_store(const std::filesystem::path& path) {
  auto files = disk::open_posix_files(path.string());
  if (!files) throw std::runtime_error(files.error().text);
  disk::StoreOptions options;
  options.budget_bytes = std::uint64_t{4} << 30;
  options.random = [](std::span<std::byte> into) { std::fill(into.begin(), into.end(), std::byte{7}); };
  auto store = disk::Store::open(std::move(*files), options, 1);
  if (!store) throw std::runtime_error(store.error().text);
  return std::move(*store);
}

constexpr std::size_t small_bytes = 10'240;
constexpr std::size_t large_bytes = 1 << 20;
constexpr std::size_t batch = 32;

std::string random_bytes(std::size_t size, std::uint64_t seed) {
  std::mt19937_64 random(seed);
  std::string bytes(size, '\0');
  for (std::size_t i = 0; i + 8 <= size; i += 8) {
    const std::uint64_t word = random();
    std::memcpy(bytes.data() + i, &word, 8);
  }
  return bytes;
}

// Bytes that this process has handed to write() and its kin so far.
std::uint64_t bytes_written() {
  std::ifstream in("/proc/self/io");
  std::string word;
  while (in >> word) {
    if (word != "wchar:") continue;
    std::uint64_t bytes = 0;
    in >> bytes;
    return bytes;
  }
  throw std::runtime_error("/proc/self/io says nothing of wchar");
}

// As a pread into the same buffer again and again.
class IntoOneBuffer final : public disk::PartSink {
 public:
  explicit IntoOneBuffer(std::size_t bytes) : buffer_(bytes) {}
  bool begin(std::size_t, std::uint64_t) override {
    at_ = 0;
    return true;
  }
  std::span<std::byte> room(std::size_t bytes) override { return std::span(buffer_).subspan(at_, bytes); }
  bool filled(std::span<const std::byte> piece) override {
    at_ += piece.size();
    return true;
  }

 private:
  std::vector<std::byte> buffer_;
  std::size_t at_ = 0;
};

// Files in place of bytes: each is mapped as a client maps it, a byte of every page is read, and it goes.
class IntoMappings final : public disk::PartSink {
 public:
  bool begin(std::size_t, std::uint64_t) override { throw std::runtime_error("a part came as bytes"); }
  std::span<std::byte> room(std::size_t) override { return {}; }
  bool filled(std::span<const std::byte>) override { return false; }
  bool takes_files() const override { return true; }
  void take_file(std::size_t, std::uint64_t bytes, int descriptor) override { map_and_read(descriptor, bytes); }

  static void map_and_read(int descriptor, std::uint64_t bytes) {
    void* const at = ::mmap(nullptr, bytes, PROT_READ, MAP_PRIVATE, descriptor, 0);
    ::close(descriptor);
    if (at == MAP_FAILED) throw std::runtime_error("cannot map a part's file");
    unsigned sum = 0;
    for (std::uint64_t i = 0; i < bytes; i += 4096) sum += static_cast<const unsigned char*>(at)[i];
    keep(sum);
    ::munmap(at, bytes);
  }
};

class Values {
 public:
  Values(std::size_t count, std::size_t bytes) : bytes_(bytes) {
    for (std::size_t i = 0; i < count; ++i) {
      keys_.push_back("key " + std::to_string(i));
      values_.push_back(random_bytes(bytes, i + 1));
    }
    open();
    const std::uint64_t before = bytes_written();
    for (std::size_t i = 0; i < count; i += batch) {
      std::vector<disk::Store::Operation> operations;
      for (std::size_t j = i; j < std::min(count, i + batch); ++j) {
        disk::ValueInput value;
        value.key = keys_[j];
        value.parts = {{"", "", disk::bytes_of(std::string_view(values_[j])), nullptr}};
        operations.push_back(disk::Store::Put{std::move(value)});
      }
      for (const auto outcome : store_->write(operations, true, 1)) {
        if (outcome != disk::Store::Outcome::done) throw std::runtime_error("onced's store did not store a value");
      }
    }
    amplification_ = static_cast<double>(bytes_written() - before) / static_cast<double>(count * bytes);
    order_.resize(count);
    std::iota(order_.begin(), order_.end(), 0U);
  }

  void add_sqlite() {
    sqlite_ = std::make_unique<SqliteStore>(directory_.path() / "sqlite");
    const std::uint64_t before = bytes_written();
    for (std::size_t i = 0; i < keys_.size(); i += batch) {
      const std::size_t n = std::min(batch, keys_.size() - i);
      sqlite_->put(std::span(keys_).subspan(i, n), std::span(values_).subspan(i, n));
    }
    sqlite_amplification_ = static_cast<double>(bytes_written() - before) / static_cast<double>(keys_.size() * bytes_);
  }

  // One file each, in 256 directories.
  void add_files() {
    for (unsigned i = 0; i < 256; ++i) std::filesystem::create_directories(directory_.path() / "files" / std::to_string(i));
    for (std::size_t i = 0; i < keys_.size(); ++i) {
      paths_.push_back((directory_.path() / "files" / std::to_string(i % 256) / std::to_string(i)).string());
      std::ofstream(paths_.back(), std::ios::binary) << values_[i];
    }
  }

  void add_python_caches() {
    for (const char* kind : {"diskcache", "flask-caching"}) python_.emplace_back(kind, directory_.path() / kind, keys_.size(), bytes_);
  }

  double store_us(std::mt19937_64& random) {
    IntoOneBuffer sink(bytes_);
    return each_us(random, [&](std::uint32_t i) { load_into(i, sink); });
  }
  double mapped_us(std::mt19937_64& random) {
    IntoMappings sink;
    return each_us(random, [&](std::uint32_t i) { load_into(i, sink); });
  }
  // By a store that has not seen them yet: each is read once before it is handed over.
  double first_mapped_us(std::mt19937_64& random) {
    open();
    return mapped_us(random);
  }
  double sqlite_us(std::mt19937_64& random) {
    std::string buffer;
    return each_us(random, [&](std::uint32_t i) { keep(sqlite_->get(keys_[i], buffer)); });
  }
  double files_us(std::mt19937_64& random) {
    std::string buffer(bytes_, '\0');
    return each_us(random, [&](std::uint32_t i) {
      const int file = ::open(paths_[i].c_str(), O_RDONLY | O_CLOEXEC);
      if (file < 0 || ::pread(file, buffer.data(), bytes_, 0) != static_cast<ssize_t>(bytes_)) throw std::runtime_error("a file is missing");
      ::close(file);
      keep(buffer[0]);
    });
  }
  double mapped_files_us(std::mt19937_64& random) {
    return each_us(random, [&](std::uint32_t i) {
      const int file = ::open(paths_[i].c_str(), O_RDONLY | O_CLOEXEC);
      if (file < 0) throw std::runtime_error("a file is missing");
      IntoMappings::map_and_read(file, bytes_);
    });
  }
  double diskcache_us(std::mt19937_64& random) const { return python_.at(0).read_us(random()); }
  double flask_caching_us(std::mt19937_64& random) const { return python_.at(1).read_us(random()); }
  double amplification() const { return amplification_; }
  double sqlite_amplification() const { return sqlite_amplification_; }

 private:
  void open() {
    store_.reset();  // one at a time may have it
    store_ = open_store(directory_.path() / "store");
  }
  void load_into(std::uint32_t i, disk::PartSink& sink) {
    auto loaded = store_->load(keys_[i], 1, &sink);
    if (!loaded || !loaded->has_value()) throw std::runtime_error("onced's store has lost a value");
    keep((**loaded).parts[0].size);
  }
  template <typename Call>
  double each_us(std::mt19937_64& random, Call call) {
    std::shuffle(order_.begin(), order_.end(), random);
    return median_ns_per_call(order_, std::max<std::size_t>(1, order_.size() / 50), call) / 1e3;
  }

  TemporaryDirectory directory_;
  std::size_t bytes_;
  std::vector<std::string> keys_;
  std::vector<std::string> values_;
  std::vector<std::string> paths_;
  std::vector<std::uint32_t> order_;
  std::unique_ptr<disk::Store> store_;
  std::unique_ptr<SqliteStore> sqlite_;
  std::vector<PythonCache> python_;
  double amplification_ = 0;
  double sqlite_amplification_ = 0;
};

// A store with so many small values that is opened again and again, as a daemon does when it starts.
class ManyValues {
 public:
  explicit ManyValues(std::size_t count) {
    auto store = open();
    const std::string bytes = random_bytes(96, 1);
    for (std::size_t i = 0; i < count; i += 1'000) {
      std::vector<disk::Store::Operation> operations;
      for (std::size_t j = i; j < std::min(count, i + 1'000); ++j) {
        disk::ValueInput value;
        value.key = "key " + std::to_string(j);
        value.parts = {{"", "", disk::bytes_of(std::string_view(bytes)), nullptr}};
        operations.push_back(disk::Store::Put{std::move(value)});
      }
      for (const auto outcome : store->write(operations, false, 1)) {
        if (outcome != disk::Store::Outcome::done) throw std::runtime_error("onced's store did not store a value");
      }
    }
    store->sync(1);
    count_ = count;
  }

  double start_ms() const {
    const std::int64_t begin = now_ns();
    const auto store = open();
    const std::int64_t end = now_ns();
    if (store->status().values != count_) throw std::runtime_error("onced's store has lost values");
    return static_cast<double>(end - begin) / 1e6;
  }

 private:
  std::unique_ptr<disk::Store> open() const { return open_store(directory_.path() / "store"); }

  TemporaryDirectory directory_;
  std::size_t count_ = 0;
};

}  // namespace

Case make_disk_case(const Settings& settings) {
  const auto small = std::make_shared<Values>(settings.quick ? 500 : 5'000, small_bytes);
  small->add_sqlite();
  small->add_files();
  small->add_python_caches();
  const auto large = std::make_shared<Values>(settings.quick ? 16 : 64, large_bytes);
  large->add_files();
  const auto many = std::make_shared<ManyValues>(settings.quick ? 20'000 : 1'000'000);
  const auto random = std::make_shared<std::mt19937_64>(settings.seed);
  Case benchmark;
  benchmark.name = "disk";
  benchmark.title = "The disk tier's store";
  benchmark.setting =
      "Values of random bytes in random order, all in the page cache; written 32 at a time, each batch synced. The store checks every byte "
      "that it reads against its checksum; SQLite (write-ahead log, prepared statement, memory map) and files (open, pread, close) check nothing, nor do diskcache and Flask-Caching's filesystem backend, "
      "which are measured inside Python, where their users have them. Written: "
      "bytes given to write() and its kin by /proc/self/io, for each byte stored. Mapped: the part's file is handed over (disk.map_files), mapped, a byte of every page "
      "read, unmapped; a file that the store has not written itself is read and checked first, once. A plain file is opened and treated so without a store: what mapping costs here.";
  benchmark.contestants = {
      {{{"10 KB: onced", "us", ""}}, [=] { return std::vector{small->store_us(*random)}; }},
      {{{"10 KB: SQLite", "us", "10 KB: onced"}}, [=] { return std::vector{small->sqlite_us(*random)}; }},
      {{{"10 KB: one file each", "us", "10 KB: onced"}}, [=] { return std::vector{small->files_us(*random)}; }},
      {{{"10 KB: diskcache, in Python", "us", "10 KB: onced"}}, [=] { return std::vector{small->diskcache_us(*random)}; }},
      {{{"10 KB: Flask-Caching's files, in Python", "us", "10 KB: onced"}}, [=] { return std::vector{small->flask_caching_us(*random)}; }},
      {{{"1 MB: onced", "us", ""}}, [=] { return std::vector{large->store_us(*random)}; }},
      {{{"1 MB: pread", "us", "1 MB: onced"}}, [=] { return std::vector{large->files_us(*random)}; }},
      {{{"1 MB: mapped", "us", ""}}, [=] { return std::vector{large->mapped_us(*random)}; }},
      {{{"1 MB: a plain file mapped", "us", "1 MB: mapped"}}, [=] { return std::vector{large->mapped_files_us(*random)}; }},
      {{{"1 MB: mapped, the first after a start", "us", ""}}, [=] { return std::vector{large->first_mapped_us(*random)}; }},
      {{{"start with a million values", "ms", ""}}, [=] { return std::vector{many->start_ms()}; }},
      {{{"written for 10 KB: onced", "x", ""}, {"written for 10 KB: SQLite", "x", "written for 10 KB: onced"}},
       [=] { return std::vector{small->amplification(), small->sqlite_amplification()}; }},
  };
  benchmark.claims = {
      {"10 KB from onced's store against SQLite", "10 KB: onced", "10 KB: SQLite", Bound::at_most, 1.0},
      {"10 KB from onced's store against one file each", "10 KB: onced", "10 KB: one file each", Bound::at_most, 0.75},
      {"1 MB with verification against a plain pread", "1 MB: onced", "1 MB: pread", Bound::at_most, 2.0},
      {"1 MB mapped, after it was checked, against a plain pread", "1 MB: mapped", "1 MB: pread", Bound::at_most, 1.1},
      {"the same against a plain file that is mapped", "1 MB: mapped", "1 MB: a plain file mapped", Bound::at_most, 1.1},
      {"1 MB mapped, checked first, against a plain pread", "1 MB: mapped, the first after a start", "1 MB: pread", Bound::at_most, 2.0},
      {"ready with a million values", "start with a million values", "", Bound::at_most, 1000.0, "ms"},
      {"bytes written for each byte of 10 KB values", "written for 10 KB: onced", "", Bound::at_most, 1.3},
  };
  return benchmark;
}

}  // namespace onced::bench
