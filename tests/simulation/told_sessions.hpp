// What clients were told of sessions, by all daemons of a schedule.
#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <string>

namespace onced::simulation {

struct ToldSessions {
  std::map<std::uint64_t, std::map<std::uint64_t, std::string>> ids;  // by number and generation, of all that there ever were; empty: nobody was told
  std::map<std::uint64_t, std::uint64_t> durable;                     // of each the newest generation that was told to be so
  std::set<std::uint64_t> ended;                                      // and that was said to be durable

  // A number may come again whose session was never written.
  void forget_from(std::uint64_t number) {
    ids.erase(ids.lower_bound(number), ids.end());
    durable.erase(durable.lower_bound(number), durable.end());
    ended.erase(ended.lower_bound(number), ended.end());
  }
};

}  // namespace onced::simulation
