// Who may use a namespace: allow_uids, allow_gids, allow_users and allow_groups of [namespaces.NAME].
//
// Names are looked up once, when the configuration is read: a name that nobody has is a mistake in the file, and who bears
// it is what the rule says until the next reload.
//
// Threads: the user database is asked on the caller's thread, and may be slow where it is not a local file.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <onced/protocol/result.hpp>

namespace onced::service {

struct AllowedName {
  std::string name;
  std::uint32_t id = 0;
  friend bool operator==(const AllowedName&, const AllowedName&) = default;
};

// Nothing said: whoever may open the socket. As soon as one of them is said, and be it empty, only those whom one of them names;
// and always root and the daemon's own user.
struct Access {
  std::optional<std::vector<std::uint32_t>> uids{};
  std::optional<std::vector<std::uint32_t>> gids{};
  std::optional<std::vector<AllowedName>> users{};
  std::optional<std::vector<AllowedName>> groups{};
  bool restricted() const { return uids || gids || users || groups; }
  friend bool operator==(const Access&, const Access&) = default;
};

// What knows the names. not_found: nobody is called so; another error: it could not be asked.
struct UserDatabase {
  std::function<Result<std::uint32_t>(const std::string& name)> uid_of;
  std::function<Result<std::uint32_t>(const std::string& name)> gid_of;
};
UserDatabase system_users();

enum class AccessMember : std::uint8_t { uids, gids, users, groups };
struct AccessSetting {
  AccessMember member;
  std::string_view name;
};
std::span<const AccessSetting> access_settings();

// `text`: the elements, separated by commas; empty: none.
Result<void> set_access(Access& to, AccessMember member, std::string_view text, const UserDatabase& users);
// As TOML: "[1000, 1001]", "[\"alice\"]"; nothing: not said.
std::optional<std::string> get_access(const Access& from, AccessMember member);

}  // namespace onced::service
