#include "engine/limit_table.hpp"

#include <onced/protocol/result.hpp>

namespace onced::engine {
namespace {

struct Row {
  Limit limit;
  std::string_view name;
  std::uint64_t (*value)(const Settings&);
};

#define ONCED_LIMIT(name) \
  Row{Limit::name, #name, [](const Settings& settings) -> std::uint64_t { return settings.name##_max; }}
constexpr Row table[] = {
    ONCED_LIMIT(requests_in_flight_per_connection), ONCED_LIMIT(under_way_bytes_per_connection), ONCED_LIMIT(under_way_bytes),
    ONCED_LIMIT(waiters_per_key),                   ONCED_LIMIT(subscriptions_per_connection),   ONCED_LIMIT(subscriptions),
    ONCED_LIMIT(invalidations_per_connection),      ONCED_LIMIT(invalidations),                  ONCED_LIMIT(blobs_reserved_per_connection),
    ONCED_LIMIT(reserved_bytes_per_connection),     ONCED_LIMIT(reserved_bytes_per_uid),
    ONCED_LIMIT(pinned_bytes_per_connection),
};
#undef ONCED_LIMIT
static_assert(std::size(table) == limits_known);

const Row& row_of(Limit limit) {
  const Row& row = table[static_cast<std::size_t>(limit)];
  ONCED_ASSERT(row.limit == limit);
  return row;
}

}  // namespace

std::string_view name_of(Limit limit) { return row_of(limit).name; }
std::uint64_t value_of(Limit limit, const Settings& settings) { return row_of(limit).value(settings); }

std::string limit_text(Limit limit, const Settings& settings) {
  return "; the limit is " + std::to_string(value_of(limit, settings)) + " (limits." + std::string(name_of(limit)) + "_max)";
}

}  // namespace onced::engine
