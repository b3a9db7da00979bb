// Namespaces and who may use them, with peers of any identity: what the kernel would say of them is made up here.
// tests/process/access_test.cpp does the same with real users, where it may.
#include <doctest/doctest.h>

#include <algorithm>
#include <mutex>
#include <string>
#include <vector>

#include "net/running_host.hpp"
#include "process/bystander.hpp"
#include "support/access_matrix.hpp"

using namespace onced;
using namespace onced::protocol;
using onced::testing::RawClient;
using onced::testing::RunningHost;
using onced::testing::outcome;
using onced::testing::outcomes;

namespace {

// Who connects next. The daemon asks when it accepts, which is before it answers.
class Claim {
 public:
  void set(uid_t uid, gid_t gid, std::vector<gid_t> groups = {}) {
    const std::lock_guard lock(mutex_);
    uid_ = uid;
    gid_ = gid;
    groups_ = std::move(groups);
  }
  net::PeerSource source() {
    return {.identify =
                [this](int socket) -> Result<net::Peer> {
                  auto peer = net::identify(socket);
                  if (!peer) return peer;
                  const std::lock_guard lock(mutex_);
                  peer->uid = uid_;
                  peer->gid = gid_;
                  return peer;
                },
            .further_groups =
                [this](int) {
                  const std::lock_guard lock(mutex_);
                  return groups_;
                }};
  }

 private:
  std::mutex mutex_;
  uid_t uid_ = 0;
  gid_t gid_ = 0;
  std::vector<gid_t> groups_;
};

constexpr std::uint64_t mebibyte = 1 << 20;

net::HostSettings with_namespaces(Claim& claim) {
  net::HostSettings settings = RunningHost::settings();
  settings.namespaces["mine"] = {.memory_bytes = 4 * mebibyte, .blob_bytes_max = 4 * mebibyte,
                                 .access = {.restricted = true, .uids = {1000}, .gids = {2000}}};
  settings.peers = claim.source();
  return settings;
}

std::string replaced(std::string text, std::string_view what, std::string_view with) {
  for (std::size_t at = 0; (at = text.find(what, at)) != std::string::npos; at += with.size()) text.replace(at, what.size(), with);
  return text;
}

}  // namespace

TEST_CASE("the access matrix: every kind of request by who is let in, by who is not, and without HELLO") {
  Claim claim;
  RunningHost host(with_namespaces(claim));
  const auto about = onced::testing::Subject{.key = onced::testing::key_bytes("f", 1), .function = "f"};
  claim.set(1001, 1001);
  const auto forbidden = outcomes(host.path(), "mine", about);
  const auto missing = outcomes(host.path(), "none", about);
  CHECK(forbidden.size() == std::variant_size_v<Request::Variant>);
  for (const auto& [kind, text] : forbidden) {
    CAPTURE(kind);
    CHECK(text.starts_with("refused 14: there is no namespace \"mine\" for uid 1001"));
    CHECK(text.ends_with("; end"));
    CHECK(replaced(text, "mine", "none") == missing.at(kind));
  }
  claim.set(1000, 1);
  for (const auto& [kind, text] : outcomes(host.path(), "", about)) {
    CAPTURE(kind);
    if (kind == "Hello") continue;
    CHECK(text == "refused 2: the first message of a connection must be HELLO; end");
  }
  for (const auto& [kind, expected] : onced::testing::outcomes_when_allowed()) {
    CAPTURE(kind);
    std::string text;
    for (const auto& example : onced::testing::every_request(about))
      if (example.name == kind) text = outcome(host.path(), "mine", example.request);
    CAPTURE(text);
    CHECK(text.starts_with(expected));
    CHECK((kind == "Hello" || text.ends_with("alive")));
  }
}

TEST_CASE("a peer is let in by its uid, its group, a further group, or for being root or the daemon's user") {
  Claim claim;
  RunningHost host(with_namespaces(claim));
  const auto status_in = [&](const std::string& name) { return outcome(host.path(), name, Request(GetStatus{})); };
  const std::string served = "reply 64; reply 76; alive";
  claim.set(1000, 1);
  CHECK(status_in("mine") == served);
  claim.set(1001, 2000);
  CHECK(status_in("mine") == served);
  claim.set(1001, 1, {3, 4, 2000});
  CHECK(status_in("mine") == served);
  claim.set(0, 0);
  CHECK(status_in("mine") == served);
  claim.set(::geteuid(), 1);
  CHECK(status_in("mine") == served);
  claim.set(1001, 1000, {3, 4});
  CHECK(status_in("mine").starts_with("refused 14"));
  CHECK(status_in("default") == served);
  claim.set(65534, 2000, {2000});
  CHECK(status_in("mine").starts_with("refused 6"));
  CHECK(status_in("default").starts_with("refused 6"));
}

TEST_CASE("who is turned away in a loop hides nobody else's lines in the log") {
  std::mutex mutex;
  std::vector<std::string> lines;
  Claim claim;
  RunningHost host(with_namespaces(claim), [&](net::LogLevel, std::string_view text) {
    const std::lock_guard lock(mutex);
    lines.emplace_back(text);
  });
  const auto ask = [&](uid_t uid) {
    claim.set(uid, uid);
    CHECK(outcome(host.path(), "mine", Request(GetStatus{})).starts_with("refused 14"));
  };
  for (int i = 0; i < 4 * static_cast<int>(net::LogBudget::lines_per_second_max); ++i) ask(1001);
  ask(1002);
  const std::lock_guard lock(mutex);
  const auto said_of = [&](const std::string& uid) {
    return std::count_if(lines.begin(), lines.end(), [&](const std::string& line) { return line.find("not for uid " + uid) != std::string::npos; });
  };
  CHECK(said_of("1001") > 0);
  CHECK(said_of("1002") == 1);
}
