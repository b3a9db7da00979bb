#include "net/turn_queue.hpp"

#include <doctest/doctest.h>

#include <vector>

using namespace onced;
using namespace onced::net;
using namespace std::chrono_literals;
using Id = engine::ConnectionId;

namespace {

Id id(std::uint64_t number) { return Id{number}; }

// The order in which one round serves, when each of them takes so long. Users are the hundreds of a number.
std::vector<std::uint64_t> round_of(TurnQueue& queue, engine::Duration each) {
  std::vector<std::uint64_t> served;
  queue.begin_round();
  while (const auto next = queue.next()) {
    served.push_back(static_cast<std::uint64_t>(*next));
    queue.used(static_cast<TurnQueue::User>(served.back() / 100), each);
  }
  return served;
}
bool ask(TurnQueue& queue, std::uint64_t number) { return queue.ask(static_cast<TurnQueue::User>(number / 100), id(number)); }

}  // namespace

TEST_CASE("who has some of the share left is served at once") {
  TurnQueue queue(1ms);
  CHECK(ask(queue, 101));
  queue.used(1, 400us);
  CHECK(ask(queue, 102));
  queue.used(1, 600us);
  CHECK_FALSE(ask(queue, 103));
  CHECK(ask(queue, 201));  // another user
  CHECK(queue.somebody_waits());
  CHECK(round_of(queue, 100us) == std::vector<std::uint64_t>{103});
  CHECK_FALSE(queue.somebody_waits());
  CHECK(ask(queue, 101));
}

TEST_CASE("a user's own connections keep their order") {
  TurnQueue queue(1ms);
  queue.used(1, 1ms);
  for (const std::uint64_t number : {std::uint64_t{105}, std::uint64_t{101}, std::uint64_t{103}}) CHECK_FALSE(ask(queue, number));
  queue.begin_round();
  CHECK_FALSE(ask(queue, 104));  // there is a share again, and others before it
  CHECK(round_of(queue, 100us) == std::vector<std::uint64_t>{105, 101, 103, 104});
}

TEST_CASE("a user with one connection waits for one share of a user with many") {
  TurnQueue queue(1ms);
  queue.used(1, 1ms);
  queue.used(2, 1ms);
  for (std::uint64_t number = 100; number < 200; ++number) ask(queue, number);
  ask(queue, 201);
  CHECK(round_of(queue, 2ms) == std::vector<std::uint64_t>{100, 201});
  CHECK(round_of(queue, 500us) == std::vector<std::uint64_t>{101, 102});
  ask(queue, 202);
  queue.used(2, 1ms);
  ask(queue, 203);
  CHECK(round_of(queue, 2ms) == std::vector<std::uint64_t>{103, 203});
}

TEST_CASE("everybody who waits is served in the end, and once") {
  TurnQueue queue(1ms);
  std::size_t waiting = 0;
  for (std::uint64_t user = 1; user <= 5; ++user) {
    queue.used(static_cast<TurnQueue::User>(user), 1ms);
    for (std::uint64_t number = 0; number < user * 7; ++number, ++waiting) REQUIRE_FALSE(ask(queue, user * 100 + number));
  }
  std::size_t served = 0;
  std::size_t rounds = 0;
  while (queue.somebody_waits()) {
    const auto of_round = round_of(queue, 1ms);
    CHECK(of_round.size() <= 5);
    REQUIRE_FALSE(of_round.empty());
    served += of_round.size();
    ++rounds;
  }
  CHECK(served == waiting);
  CHECK(rounds == 35);
}
