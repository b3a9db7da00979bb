// Sessions that begin, rotate, are used and end at random, with values in them, and what is known of each at any time.
#pragma once

#include <array>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <random>
#include <set>
#include <string>
#include <vector>

#include "disk/session_file.hpp"
#include "workload.hpp"

namespace onced::testing {

inline std::string session_key(std::uint64_t session, int key) { return "argument of session " + std::to_string(session) + "/" + key_name(key); }
std::uint64_t session_of_key(std::string_view key);

disk::StoreOptions session_store(std::vector<std::string>* said = nullptr, std::uint64_t seed = 4711);

std::array<std::byte, 32> id_digest(std::uint64_t number, std::uint64_t generation);

disk::SessionFacts session_facts(std::uint64_t number, std::uint64_t generation, std::uint64_t now_ms = 20'000);

// Of the session, as it lies in the file now.
std::optional<std::string> secret_of(const Image& image, std::uint64_t number);
inline std::string text_of(const std::array<std::byte, 32>& bytes) { return {reinterpret_cast<const char*>(bytes.data()), bytes.size()}; }
bool is_anywhere(const Image& image, std::string_view bytes);

struct SessionWorkload {
  static constexpr int keys = 6;  // of each session
  struct Event {
    std::uint64_t generation = 0;  // 0: it ends
    std::size_t issued = 0;
    std::optional<std::size_t> acknowledged{};
  };
  struct Known {
    std::vector<Event> events{};
    std::string secret{};
    std::uint64_t generation = 0;
    bool ended = false;
  };
  std::map<std::uint64_t, Known> sessions;
  History history;  // of values: its keys are id_of()
  std::mt19937_64 random{1};
  std::uint64_t version = 0;
  std::uint64_t last_number = 7;
  bool faults = false;

  static int id_of(std::uint64_t number, int key) { return static_cast<int>(number % 1'000) * keys + key; }
  static disk::ValueInput value_of(std::uint64_t number, int key, std::uint64_t version);

  // One batch. `time` gives the present point in time, `image` what is on the disk.
  void step(disk::Store& store, const std::function<std::size_t()>& time, const std::function<Image()>& image, std::uint64_t now_ms = 20'000);

  // What is wrong with a store that was opened when the world had stopped at `now`; empty when it is right.
  std::string problem(disk::Store& store, const Image& image, std::size_t now, bool lossless, std::uint64_t now_ms = 20'000) const;
};

}  // namespace onced::testing
