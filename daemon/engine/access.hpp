// Who may use a namespace.
//
// What counts is what the kernel says of the peer: its uid, its group, and its further groups where the kernel names them.
// Root and the daemon's own user always may: they could read the daemon's memory anyway. The ids that stand for everybody
// whom the daemon's user namespace does not know match no rule, whatever else is configured.
//
// Pure: values only.
#pragma once

#include <algorithm>
#include <cstdint>
#include <set>
#include <vector>

namespace onced::engine {

inline constexpr std::uint32_t unmapped_uid = 65534;
inline constexpr std::uint32_t unmapped_gid = 65534;

struct Identity {
  std::uint32_t uid = unmapped_uid;
  std::uint32_t gid = unmapped_gid;
  std::vector<std::uint32_t> further_gids{};
};

struct AccessRule {
  bool restricted = false;  // false: whoever may open the socket
  std::set<std::uint32_t> uids{};
  std::set<std::uint32_t> gids{};
  friend bool operator==(const AccessRule&, const AccessRule&) = default;
};

inline bool may_use(const AccessRule& rule, const Identity& who, std::uint32_t daemon_uid) {
  if (who.uid == unmapped_uid) return false;
  if (!rule.restricted || who.uid == 0 || who.uid == daemon_uid) return true;
  const auto matches = [&](std::uint32_t gid) { return gid != unmapped_gid && rule.gids.contains(gid); };
  return rule.uids.contains(who.uid) || matches(who.gid) || std::any_of(who.further_gids.begin(), who.further_gids.end(), matches);
}

// Whether somebody may have been let in by `before` whom `now` does not let in. Says yes too often rather than too rarely: a user
// who is taken out may still be in a group that is let in.
inline bool is_narrower(const AccessRule& now, const AccessRule& before) {
  if (!now.restricted) return false;
  return !before.restricted || !std::includes(now.uids.begin(), now.uids.end(), before.uids.begin(), before.uids.end()) ||
         !std::includes(now.gids.begin(), now.gids.end(), before.gids.begin(), before.gids.end());
}

}  // namespace onced::engine
