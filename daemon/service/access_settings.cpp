#include "service/access_settings.hpp"

#include <grp.h>
#include <pwd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <limits>

#include "service/quantities.hpp"

namespace onced::service {
namespace {

constexpr std::array<AccessSetting, 4> table{{{AccessMember::uids, "allow_uids"},
                                              {AccessMember::gids, "allow_gids"},
                                              {AccessMember::users, "allow_users"},
                                              {AccessMember::groups, "allow_groups"}}};
constexpr std::size_t elements_max = 4096;
// Stands for all users, or groups, that the daemon's user namespace does not know: nobody in particular.
constexpr std::uint32_t unmapped_id = 65534;
constexpr std::size_t entry_bytes_first = 4 * 1024;  // of the user database
constexpr std::size_t entry_bytes_max = 4 * 1024 * 1024;  // a group's has the names of all its members

Error invalid(std::string text) { return Error{ErrorCode::invalid_argument, std::move(text)}; }

std::vector<std::string> elements_of(std::string_view text) {
  std::vector<std::string> elements;
  while (!text.empty()) {
    const std::size_t end = std::min(text.find(','), text.size());
    std::string_view element = text.substr(0, end);
    while (element.starts_with(' ')) element.remove_prefix(1);
    while (element.ends_with(' ')) element.remove_suffix(1);
    elements.emplace_back(element);
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return elements;
}

Result<std::uint32_t> checked_id(std::uint64_t id, std::string_view what) {
  if (id == unmapped_id) {
    return invalid(std::string(what) + " 65534 stands for all that cannot be told apart (nobody, nogroup), and matches no rule");
  }
  if (id >= std::numeric_limits<std::uint32_t>::max()) return invalid(std::to_string(id) + " is no " + std::string(what));
  return static_cast<std::uint32_t>(id);
}

// Asks getpwnam_r or getgrnam_r with as much room as it wants.
template <typename Entry, typename Ask, typename IdOf>
Result<std::uint32_t> look_up(const std::string& name, Ask ask, IdOf id_of) {
  std::vector<char> room(entry_bytes_first);
  for (;;) {
    Entry entry{};
    Entry* found = nullptr;
    const int error = ask(name.c_str(), &entry, room.data(), room.size(), &found);
    if (error == 0 && found != nullptr) return id_of(*found);
    if (error == EINTR) continue;
    if (error == ERANGE && room.size() < entry_bytes_max) {
      room.resize(room.size() * 4);
      continue;
    }
    // Some databases say "not found" with one of these.
    if (error == 0 || error == ENOENT || error == ESRCH) return Error{ErrorCode::not_found, "unknown"};
    return Error{ErrorCode::unavailable, std::strerror(error)};
  }
}

Result<std::vector<std::uint32_t>> ids_of(std::string_view text, std::string_view what) {
  std::vector<std::uint32_t> ids;
  for (const std::string& element : elements_of(text)) {
    const Result<std::uint64_t> number = parse_count(element);
    if (!number) return invalid(number.error().text + "; a name belongs into " + (what == "uid" ? "allow_users" : "allow_groups"));
    const Result<std::uint32_t> id = checked_id(*number, what);
    if (!id) return id.error();
    ids.push_back(*id);
  }
  if (ids.size() > elements_max) return invalid("more than " + std::to_string(elements_max) + " elements");
  return ids;
}

Result<std::vector<AllowedName>> names_of(std::string_view text, bool users, const UserDatabase& database) {
  std::vector<AllowedName> names;
  const std::string what = users ? "user" : "group";
  for (std::string& name : elements_of(text)) {
    if (name.empty()) return invalid("an empty name");
    const Result<std::uint32_t> found = (users ? database.uid_of : database.gid_of)(name);
    if (!found && found.error().code == ErrorCode::not_found) {
      const bool number = name.find_first_not_of("0123456789") == std::string::npos;
      return invalid("there is no " + what + " \"" + name + "\" on this machine" +
                     (number ? std::string("; a number belongs into ") + (users ? "allow_uids" : "allow_gids") : std::string()));
    }
    if (!found) return invalid("cannot look up the " + what + " \"" + name + "\": " + found.error().text);
    const Result<std::uint32_t> id = checked_id(*found, users ? "uid" : "gid");
    if (!id) return invalid(what + " \"" + name + "\": " + id.error().text);
    names.push_back({std::move(name), *id});
  }
  if (names.size() > elements_max) return invalid("more than " + std::to_string(elements_max) + " elements");
  return names;
}

std::string listed(const std::vector<std::uint32_t>& ids) {
  std::string text;
  for (const std::uint32_t id : ids) text += (text.empty() ? "" : ", ") + std::to_string(id);
  return "[" + text + "]";
}
std::string listed(const std::vector<AllowedName>& names) {
  std::string text;
  for (const AllowedName& one : names) text += (text.empty() ? "" : ", ") + in_quotes(one.name);
  return "[" + text + "]";
}
template <typename List>
std::optional<std::string> listed_if(const std::optional<List>& list) {
  return list ? std::optional(listed(*list)) : std::nullopt;
}

template <typename List>
Result<void> take(std::optional<List>& to, Result<List> list) {
  if (!list) return list.error();
  to = std::move(*list);
  return {};
}

}  // namespace

UserDatabase system_users() {
  return {.uid_of = [](const std::string& name) { return look_up<passwd>(name, ::getpwnam_r, [](const passwd& entry) { return entry.pw_uid; }); },
          .gid_of = [](const std::string& name) { return look_up<group>(name, ::getgrnam_r, [](const group& entry) { return entry.gr_gid; }); }};
}

std::span<const AccessSetting> access_settings() { return table; }

Result<void> set_access(Access& to, AccessMember member, std::string_view text, const UserDatabase& users) {
  switch (member) {
    case AccessMember::uids: return take(to.uids, ids_of(text, "uid"));
    case AccessMember::gids: return take(to.gids, ids_of(text, "gid"));
    case AccessMember::users: return take(to.users, names_of(text, true, users));
    case AccessMember::groups: return take(to.groups, names_of(text, false, users));
  }
  return {};
}

std::optional<std::string> get_access(const Access& from, AccessMember member) {
  switch (member) {
    case AccessMember::uids: return listed_if(from.uids);
    case AccessMember::gids: return listed_if(from.gids);
    case AccessMember::users: return listed_if(from.users);
    case AccessMember::groups: return listed_if(from.groups);
  }
  return std::nullopt;
}

}  // namespace onced::service
