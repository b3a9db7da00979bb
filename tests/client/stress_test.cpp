// Threads that hit, keep, hand over and drop views while the daemon dies again and again: the hazards and the reclaiming
// of attachments under load. Built with ThreadSanitizer too.
#include <doctest/doctest.h>

#include <deque>
#include <mutex>
#include <random>
#include <thread>

#include <onced/client.hpp>

#include "fake_daemon.hpp"
#include "process.hpp"

using namespace onced;
using namespace onced::testing;

TEST_CASE("views stay right and attachments are freed while daemons come and go") {
  constexpr int keys = 16;
  constexpr int generations = 40;
  const auto value_of = [](int number) { return "value " + std::to_string(number) + std::string(100, 'v'); };
  std::vector<Key> all_keys;
  for (int i = 0; i < keys; ++i) all_keys.push_back(key_named("f", i));

  FakeDaemon daemon;
  ClientOptions options;
  options.socket = daemon.path();
  options.reconnect_delay_max = Milliseconds(1);
  options.on_warning = [](std::string_view) {};
  auto client = std::make_unique<Client>(options);

  std::atomic<bool> stop{false};
  std::atomic<std::uint64_t> hits{0};
  std::atomic<std::uint64_t> wrong{0};
  // Views on their way from one thread to another.
  std::mutex exchange;
  std::deque<std::pair<int, Value>> views;

  std::vector<std::jthread> threads;
  for (unsigned thread = 0; thread < 6; ++thread) {
    threads.emplace_back([&, thread] {
      std::minstd_rand random(thread + 1);
      while (!stop) {
        const int number = static_cast<int>(random() % keys);
        auto value = client->peek(all_keys[static_cast<std::size_t>(number)]);
        if (!value) {
          std::this_thread::yield();
          continue;
        }
        if (value->text() != value_of(number)) ++wrong;
        ++hits;
        if (random() % 4 != 0) continue;
        const std::lock_guard lock(exchange);
        views.emplace_back(number, std::move(*value));
        if (views.size() < 30) continue;
        if (views.front().second.text() != value_of(views.front().first)) ++wrong;
        views.pop_front();
      }
    });
  }

  std::vector<FakeConnection> connections;
  for (int generation = 0; generation < generations; ++generation) {
    FakeNamespace space(static_cast<std::uint64_t>(generation + 1));
    for (int i = 0; i < keys; ++i) space.place(all_keys[static_cast<std::size_t>(i)], value_of(i));
    connections.push_back(daemon.welcome(space));
    const std::uint64_t before = hits;
    wait_until([&] { return hits > before + 200; }, "hits in this generation");
    space.die();
  }
  stop = true;
  threads.clear();
  CHECK(wrong == 0);
  client.reset();
  views.clear();
  CHECK(client_detail::Process::here().retired_attachments() == 0);
  for (FakeConnection& connection : connections) connection.expect_closed();
}
