#include "retention.hpp"

#include <algorithm>
#include <cmath>
#include <string>
#include <utility>

#include <onced/protocol/limits.hpp>

#include "checks.hpp"
#include "errors.hpp"

namespace onced::client_detail {

namespace {

constexpr double refresh_ahead_max = 1000;

std::string above(std::string_view what, std::size_t is, std::size_t limit) {
  return std::string(what) + ": " + std::to_string(is) + " > " + std::to_string(limit);
}

Result<std::uint64_t> permille_of(const std::optional<double>& refresh_ahead) {
  if (!refresh_ahead) return protocol::as_configured;
  // Also not a number.
  if (!(*refresh_ahead >= 0 && *refresh_ahead <= refresh_ahead_max)) {
    return wrong("refresh_ahead of " + std::to_string(*refresh_ahead) + " is not from 0 to 1000");
  }
  return static_cast<std::uint64_t>(std::llround(*refresh_ahead * 1000));
}

// Of ComputeOptions or PutOptions.
template <typename Options>
Result<protocol::Retention> converted(const Options& options) {
  const auto ttl_ms = configured_ms("ttl", options.ttl);
  if (!ttl_ms) return ttl_ms.error();
  const auto grace_ms = configured_ms("grace", options.grace);
  if (!grace_ms) return grace_ms.error();
  const auto permille = permille_of(options.refresh_ahead);
  if (!permille) return permille.error();
  if (options.tags.size() > limits::tags_max) return Error{ErrorCode::limit_reached, above("tags of a value", options.tags.size(), limits::tags_max)};
  for (const std::string& tag : options.tags) {
    if (auto right = check_tag(tag); !right) return right.error();
  }
  if (auto right = check_content_type(options.content_type); !right) return right.error();
  if (options.depends_on.size() > limits::dependencies_max) {
    return Error{ErrorCode::limit_reached, above("keys in depends_on", options.depends_on.size(), limits::dependencies_max)};
  }
  protocol::Retention retention;
  retention.ttl_ms = *ttl_ms;
  retention.grace_ms = *grace_ms == protocol::as_configured ? *grace_ms : std::min(*grace_ms, limits::grace_ms_max);
  retention.refresh_ahead_permille = *permille;
  retention.tags = options.tags;
  retention.retire_older = options.retire_older;
  retention.durable = options.durable;
  std::size_t bytes = 0;
  for (const Key& key : options.depends_on) {
    if (auto right = check_key_given(key.bytes()); !right) return Error{right.error().code, "depends_on: " + right.error().text};
    bytes += key.bytes().size();
    retention.depends_on.push_back({std::string(key.bytes()), 0});
  }
  if (bytes > limits::dependencies_bytes_max) {
    return Error{ErrorCode::too_large, above("bytes of keys in depends_on", bytes, limits::dependencies_bytes_max)};
  }
  return retention;
}

}  // namespace

Result<std::uint64_t> configured_ms(std::string_view option, const std::optional<Milliseconds>& time) {
  if (!time) return protocol::as_configured;
  if (time->count() < 0) return wrong(std::string(option) + " of " + std::to_string(time->count()) + " ms is negative");
  return static_cast<std::uint64_t>(time->count());
}

Result<protocol::Retention> retention_of(const ComputeOptions& options) { return converted(options); }
Result<protocol::Retention> retention_of(const PutOptions& options) { return converted(options); }

Result<void> check(const ComputeOptions& options) {
  if (auto retention = retention_of(options); !retention) return retention.error();
  if (auto failure_ttl = configured_ms("failure_ttl", options.failure_ttl); !failure_ttl) return failure_ttl.error();
  if (options.lease_limit.count() < 0) return wrong("lease_limit of " + std::to_string(options.lease_limit.count()) + " ms is negative");
  return {};
}

std::uint64_t failure_ttl_ms(const ComputeOptions& options) {
  return options.failure_ttl ? static_cast<std::uint64_t>(options.failure_ttl->count()) : protocol::as_configured;
}

Error not_durable(std::string_view key, const protocol::Retention& retention) {
  const bool derived = std::any_of(retention.depends_on.begin(), retention.depends_on.end(),
                                   [key](const protocol::Dependency& upstream) { return upstream.key != key; });
  std::string why = "its namespace keeps no values on disk, it is too large for that, or the disk fails; see `oncectl disk status`";
  if (derived) {
    why = "a value that depends on others is kept on disk beside all of these only: one of them is not there, has changed meanwhile, or belongs to a session "
          "that is not the value's own; or they are more than " + std::to_string(limits::disk_upstreams_max) + ", over all steps. Or " + why;
  }
  return Error{ErrorCode::not_durable, "the value is stored, and it is not durable: " + why};
}

}  // namespace onced::client_detail
