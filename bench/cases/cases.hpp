// All benchmarks. main.cpp runs them in this order.
#pragma once

#include <array>
#include <string_view>
#include <utility>

#include "harness/case.hpp"

namespace onced::bench {

Case make_hit_case(const Settings& settings);
Case make_scaling_case(const Settings& settings);
Case make_storm_case(const Settings& settings);
Case make_lease_case(const Settings& settings);
Case make_relay_case(const Settings& settings);
Case make_herd_case(const Settings& settings);
Case make_large_case(const Settings& settings);
Case make_threshold_case(const Settings& settings);
Case make_daemon_case(const Settings& settings);
Case make_eviction_case(const Settings& settings);
Case make_publish_case(const Settings& settings);
Case make_hostile_case(const Settings& settings);
Case make_disk_case(const Settings& settings);
Case make_tier_case(const Settings& settings);

inline constexpr std::array<std::pair<std::string_view, MakeCase>, 14> all_cases{{
    {"hit", make_hit_case},
    {"scaling", make_scaling_case},
    {"storm", make_storm_case},
    {"lease", make_lease_case},
    {"relay", make_relay_case},
    {"herd", make_herd_case},
    {"large", make_large_case},
    {"threshold", make_threshold_case},
    {"daemon", make_daemon_case},
    {"eviction", make_eviction_case},
    {"publish", make_publish_case},
    {"hostile", make_hostile_case},
    {"disk", make_disk_case},
    {"tier", make_tier_case},
}};

}  // namespace onced::bench
