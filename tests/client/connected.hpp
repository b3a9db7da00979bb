// A client that is connected to a daemon of the test's.
#pragma once

#include <doctest/doctest.h>

#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <onced/client.hpp>

#include "fake_daemon.hpp"

namespace onced::testing {

struct ConnectedClient {
  explicit ConnectedClient(ClientOptions options = {}) {
    options.socket = daemon.path();
    options.on_warning = [this](std::string_view text) {
      const std::lock_guard lock(mutex);
      warnings.emplace_back(text);
    };
    client = std::make_unique<Client>(options);
    std::jthread connecting([&] { CHECK(client->connect().ok()); });
    connection.emplace(daemon.welcome(space));
  }
  // Calls in a thread of its own, while the test answers.
  template <typename Call>
  auto in_thread(Call call) {
    struct Called {
      std::optional<std::invoke_result_t<Call>> result;
      std::jthread thread;
      auto& wait() {
        if (thread.joinable()) thread.join();
        return *result;
      }
    };
    auto called = std::make_unique<Called>();
    called->thread = std::jthread([&result = called->result, call = std::move(call)]() mutable { result.emplace(call()); });
    return called;
  }
  // The daemon has been asked nothing.
  bool unasked() const { return !connection->readable(); }
  protocol::RequestId grant(protocol::LeaseCause cause = protocol::LeaseCause::absent) {
    const auto asked = connection->expect<protocol::Acquire>();
    connection->send(asked.id, protocol::Lease{{space.welcome.epoch, ++tokens}, 1000, false, cause});
    return asked.id;
  }
  // What is published next, which is stored under this version.
  protocol::Publish expect_publish(std::uint64_t version = 1) {
    auto publish = connection->expect<protocol::Publish>();
    connection->send(publish.id, protocol::Published{version, true});
    return std::move(publish.message);
  }

  std::mutex mutex;
  std::vector<std::string> warnings;
  FakeNamespace space;
  FakeDaemon daemon;
  std::unique_ptr<Client> client;
  std::optional<FakeConnection> connection;
  std::uint64_t tokens = 0;
};

}  // namespace onced::testing
