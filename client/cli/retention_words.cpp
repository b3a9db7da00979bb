#include "retention_words.hpp"

#include <charconv>
#include <optional>
#include <system_error>

#include <onced/protocol/limits.hpp>

#include "text_format.hpp"
#include "time_option.hpp"

namespace onced::cli {
namespace {

constexpr double refresh_ahead_max = 1000;

// "none" takes back what the configuration says.
Result<std::optional<Milliseconds>> time_or_none(std::string_view option, const std::string& text, const TimeBounds& bounds = {}) {
  if (text.empty()) return std::optional<Milliseconds>();
  if (text == "none") return std::optional(Milliseconds(0));
  const Result<Milliseconds> time = time_option(option, text, bounds);
  if (!time) return time.error();
  return std::optional(*time);
}

Result<std::optional<double>> factor(std::string_view option, const std::string& text) {
  if (text.empty()) return std::optional<double>();
  if (text == "none") return std::optional(0.0);
  double number = -1;
  const char* const end = text.data() + text.size();
  const auto [rest, error] = std::from_chars(text.data(), end, number, std::chars_format::fixed);
  if (error != std::errc() || rest != end || !(number >= 0 && number <= refresh_ahead_max)) {
    return Error{ErrorCode::invalid_argument, std::string(option) + " " + text + ": not a number from 0 to 1000; 1 is right for most"};
  }
  return std::optional(number);
}

}  // namespace

void add_retention_options(Command& command, RetentionWords& words) {
  const std::string configured = " (default:\nas configured, else ";
  command.add_option("--ttl", words.ttl, "How long it is fresh, or none: until evicted" + configured + "none)", "TIME");
  command.add_option("--grace", words.grace, "How long it is usable then, being stale, while\none caller refreshes it, or none; at most 49 days" + configured + "none)", "TIME");
  command.add_option("--refresh-ahead", words.refresh_ahead,
                     "Refresh it before it is stale, this many times\nits cost ahead; 1 is right for most, or none" + configured + "none)", "X");
  command.add_options("--tag", words.tags, "A name to drop it by: `invalidate --tag`;\nmay be repeated", "NAME");
  command.add_flag("--retire-older", words.retire_older, "Drop the older values of the same function and\narguments under other --function-version words");
  command.add_flag("--durable", words.durable, "On stable storage before this returns, so that it\nsurvives any crash: where values are kept on disk");
}

Result<Retention> retention_of(const RetentionWords& words) {
  const Result<std::optional<Milliseconds>> ttl = time_or_none("--ttl", words.ttl);
  if (!ttl) return ttl.error();
  const Result<std::optional<Milliseconds>> grace = time_or_none("--grace", words.grace, {.most = Milliseconds(limits::grace_ms_max)});
  if (!grace) return grace.error();
  const Result<std::optional<double>> refresh_ahead = factor("--refresh-ahead", words.refresh_ahead);
  if (!refresh_ahead) return refresh_ahead.error();
  if (words.tags.size() > limits::tags_max) {
    return Error{ErrorCode::invalid_argument, plural(words.tags.size(), "--tag") + "; a value has " + std::to_string(limits::tags_max) + " at most"};
  }
  return Retention{*ttl, *grace, *refresh_ahead, words.tags, words.retire_older, words.durable};
}

}  // namespace onced::cli
