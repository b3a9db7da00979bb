// A daemon whose values are in a directory that outlives it, and values that say of themselves which they are.
#pragma once

#include <cstdlib>
#include <filesystem>
#include <optional>
#include <random>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <csignal>

#include <doctest/doctest.h>

#include <onced/client.hpp>
#include <onced/session.hpp>

#include "process/processes.hpp"
#include "support/daemon_process.hpp"
#include "support/temp_directory.hpp"

namespace onced::testing {

inline constexpr std::size_t small_bytes = 300;
inline constexpr std::size_t large_bytes = 100'000;  // a part of its own, in a file of its own

// What a key has in a version: this, and nothing else.
inline std::string value_of(int key, std::uint64_t version, std::size_t bytes) {
  std::string text = std::to_string(key) + "/" + std::to_string(version) + "/" + std::to_string(bytes) + ":";
  std::minstd_rand random(static_cast<unsigned>(key * 7919) + static_cast<unsigned>(version) + 1);
  while (text.size() < bytes) text += static_cast<char>(random());
  return text;
}
inline std::size_t size_of(int key, std::uint64_t version) { return (static_cast<std::uint64_t>(key) + version) % 5 == 0 ? large_bytes : small_bytes; }
inline std::string value_of(int key, std::uint64_t version) { return value_of(key, version, size_of(key, version)); }

// Of a value that somebody has read: nothing when it is not, byte by byte, what its key had in some version.
inline std::optional<std::uint64_t> version_in(int key, std::string_view text) {
  const std::size_t slash = text.find('/');
  if (slash == std::string_view::npos) return std::nullopt;
  const std::uint64_t version = std::strtoull(std::string(text.substr(slash + 1, 20)).c_str(), nullptr, 10);
  if (text != value_of(key, version)) return std::nullopt;
  return version;
}

inline PutOptions durable_put() {
  PutOptions options;
  options.durable = true;
  return options;
}

// A daemon whose values are in a directory that outlives it.
class OnDisk {
 public:
  explicit OnDisk(std::vector<std::string> more = {}, std::string memory = "64MiB") {
    DaemonOptions options = DaemonProcess::options({"--disk", path()});
    options.flags.insert(options.flags.end(), more.begin(), more.end());
    options.memory = std::move(memory);
    daemon_.emplace(std::move(options));
  }
  DaemonProcess& daemon() { return *daemon_; }
  std::string path() const { return (directory_ / "onced").string(); }
  void crash() {
    daemon_->kill(SIGKILL);
    daemon_->wait();
    daemon_->start();
  }
  void restart() {
    daemon_->kill(SIGTERM);
    CHECK(daemon_->wait() == ExitStatus{0, 0});
    daemon_->start();
  }
  ClientOptions options(const std::string& space = "default") const {
    ClientOptions options = options_for(daemon_->socket());
    options.namespace_name = space;
    options.strict = true;
    return options;
  }
  Client client(const std::string& space = "default") const { return Client(options(space)); }

 private:
  TempDirectory directory_;
  std::optional<DaemonProcess> daemon_;
};

inline std::optional<std::string> text_of(Client& client, const Key& key) {
  const auto found = client.get(key.bytes());
  CAPTURE(found ? std::string() : found.error().text);
  REQUIRE(found.ok());
  if (!*found) return std::nullopt;
  return std::string((*found)->text());
}

inline bool is_in_a_file_of(const std::filesystem::path& directory, std::string_view text) {
  for (const auto& entry : std::filesystem::recursive_directory_iterator(directory))
    if (entry.is_regular_file() && read_file(entry.path()).find(text) != std::string::npos) return true;
  return false;
}

// Of a namespace's store.
inline std::size_t part_files_in(const std::string& directory) {
  std::size_t files = 0;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(directory + "/parts")) files += entry.is_regular_file() ? 1U : 0U;
  return files;
}

inline double number_in(Client& client, std::string_view name) {
  const auto statistics = client.statistics();
  REQUIRE(statistics.ok());
  for (const auto& [field, value] : statistics->fields) {
    if (field != name) continue;
    if (const auto* whole = std::get_if<std::uint64_t>(&value)) return static_cast<double>(*whole);
  }
  return -1;
}

}  // namespace onced::testing
