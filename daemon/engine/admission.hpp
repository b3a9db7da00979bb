// Who may open another connection: so many in all, and so many of one user.
//
// One user's processes cannot take all connections from the others. Nobody is exempt, neither root nor the daemon's own
// user: a runaway worker is as bad under any name, and root, who is counted apart from the workers, gets in to look.
//
// Counts from acceptance (before HELLO, over all namespaces) until the connection is forgotten.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <unordered_map>

#include <onced/protocol/limits.hpp>
#include <onced/protocol/result.hpp>

namespace onced::engine {

class Admission {
 public:
  struct Settings {
    std::size_t connections_max = limits::connections_max;
    std::size_t connections_per_uid_max = limits::connections_per_uid_max;
  };
  explicit Admission(Settings settings) : settings_(settings) {}

  // Lower limits end no connection; there is no new one until enough have gone.
  void reconfigure(Settings settings) { settings_ = settings; }

  // Counts the connection when it may come in; leave() when it has gone.
  Result<void> admit(std::uint32_t uid) {
    if (connections_ >= settings_.connections_max) {
      return Error{ErrorCode::limit_reached, "there are " + std::to_string(connections_) +
                                                 " connections already; the limit is " + std::to_string(settings_.connections_max) +
                                                 " (limits.connections_max)"};
    }
    std::size_t& of_user = of_users_[uid];
    if (of_user >= settings_.connections_per_uid_max) {
      Error error{ErrorCode::limit_reached, "user " + std::to_string(uid) + " has " + std::to_string(of_user) +
                                                " connections already; the limit is " +
                                                std::to_string(settings_.connections_per_uid_max) +
                                                " (limits.connections_per_uid_max)"};
      if (of_user == 0) of_users_.erase(uid);
      ++refused_[uid];
      return error;
    }
    ++of_user;
    ++connections_;
    return {};
  }
  void leave(std::uint32_t uid) {
    const auto found = of_users_.find(uid);
    ONCED_ASSERT(found != of_users_.end());
    if (--found->second == 0) of_users_.erase(found);
    --connections_;
  }

  std::size_t connections() const { return connections_; }
  std::size_t connections_of(std::uint32_t uid) const {
    const auto found = of_users_.find(uid);
    return found == of_users_.end() ? 0 : found->second;
  }
  // For having had connections_per_uid_max.
  std::uint64_t refused_of(std::uint32_t uid) const {
    const auto found = refused_.find(uid);
    return found == refused_.end() ? 0 : found->second;
  }
  const Settings& settings() const { return settings_; }

 private:
  Settings settings_;
  std::size_t connections_ = 0;
  std::unordered_map<std::uint32_t, std::size_t> of_users_;
  std::unordered_map<std::uint32_t, std::uint64_t> refused_;  // stays: only users who have had all that they may are in it
};

}  // namespace onced::engine
