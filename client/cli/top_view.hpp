// What `oncectl top` shows: who computes what, and what each function saves. Pure: numbers in, lines or JSON out.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <vector>

#include <onced/protocol/messages.hpp>

#include "key_words.hpp"
#include "output.hpp"

namespace onced::cli {

struct TopComputation {
  std::string key;
  double fraction = 0;  // NaN: unknown
  std::string text;     // the last word of progress
  std::optional<double> seconds;  // since it began, when that is known
  std::uint64_t waiting = 0;
  std::string holder;
  bool refresh = false;  // there is a value meanwhile
};

// Waits until its function computes less than it may.
struct TopQueued {
  std::string key;
  std::uint64_t position = 0;
  std::optional<double> seconds;
  std::uint64_t waiting = 0;
};

struct TopData {
  std::string socket;
  std::string namespace_name;
  protocol::Statistics statistics;
  std::vector<TopComputation> computing;  // the longest first
  bool computing_truncated = false;       // there are more
  std::vector<TopQueued> queued;          // the first ones; how many there are is in the statistics
};

// Those that save most first.
std::vector<protocol::FunctionStatistics> by_time_saved(std::vector<protocol::FunctionStatistics> functions);

// Lines of at most `screen.width` columns, at most `screen.height` of them; both unlimited where they are 0.
std::string top_text(const TopData& data, const Screen& screen);
Json top_json(const TopData& data);

}  // namespace onced::cli
