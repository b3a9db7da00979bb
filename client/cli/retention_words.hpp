// How long a value is kept and what makes it go, as options of `put` and `run`.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include <onced/options.hpp>
#include <onced/protocol/result.hpp>

#include "command.hpp"

namespace onced::cli {

struct RetentionWords {
  std::string ttl{};
  std::string grace{};
  std::string refresh_ahead{};
  std::vector<std::string> tags{};
  bool retire_older = false;
  bool durable = false;
};

// Adds --ttl, --grace, --refresh-ahead, --tag, --retire-older and --durable.
void add_retention_options(Command& command, RetentionWords& words);

// What is not said is as the daemon's configuration has it.
struct Retention {
  std::optional<Milliseconds> ttl{};
  std::optional<Milliseconds> grace{};
  std::optional<double> refresh_ahead{};
  std::vector<std::string> tags{};
  bool retire_older = false;
  bool durable = false;

  template <typename Options>
  void apply_to(Options& options) const {
    options.ttl = ttl;
    options.grace = grace;
    options.refresh_ahead = refresh_ahead;
    options.tags = tags;
    options.retire_older = retire_older;
    options.durable = durable;
  }
};

// Errors: invalid_argument, naming the option.
Result<Retention> retention_of(const RetentionWords& words);

}  // namespace onced::cli
