#include "engine/retention.hpp"

#include <algorithm>
#include <limits>

#include "engine/context.hpp"

namespace onced::engine {
namespace {

std::uint64_t decided(const RetentionSettings& settings, std::string_view function, std::uint64_t asked,
                      std::uint64_t RetentionDefaults::*member) {
  if (asked != protocol::as_configured) return asked;
  const auto own = settings.functions.find(function);
  if (own != settings.functions.end() && own->second.*member != protocol::as_configured) return own->second.*member;
  return settings.all.*member;
}

}  // namespace

Lifespan lifespan_of(const RetentionSettings& settings, std::string_view function, const protocol::Retention& asked) {
  const std::uint64_t grace_ms = decided(settings, function, asked.grace_ms, &RetentionDefaults::grace_ms);
  return {.ttl_ms = decided(settings, function, asked.ttl_ms, &RetentionDefaults::ttl_ms),
          .grace_ms = static_cast<std::uint32_t>(std::min(grace_ms, limits::grace_ms_max)),
          .refresh_ahead_permille =
              decided(settings, function, asked.refresh_ahead_permille, &RetentionDefaults::refresh_ahead_permille)};
}

Duration failure_ttl_of(const RetentionSettings& settings, std::string_view function, std::uint64_t asked_ms) {
  return duration_of_ms(decided(settings, function, asked_ms, &RetentionDefaults::failure_ttl_ms));
}

std::uint32_t early_ms_of(const Lifespan& lifespan, std::uint64_t cost_us) {
  if (lifespan.ttl_ms == 0) return 0;
  constexpr double mean_distances = 14;  // e^-14 is 8e-7
  const double mean_ms = static_cast<double>(lifespan.refresh_ahead_permille) / 1e3 * static_cast<double>(cost_us) / 1e3;
  const double early_ms = std::min(mean_distances * mean_ms, static_cast<double>(lifespan.ttl_ms));
  constexpr double most = std::numeric_limits<std::uint32_t>::max();
  return static_cast<std::uint32_t>(std::min(early_ms, most));
}

}  // namespace onced::engine
