// Namespaces and who may use them, by real users: children that have given up root. Without root net/access_test.cpp alone
// says what this says.
#include <doctest/doctest.h>

#include <grp.h>
#include <pwd.h>
#include <sys/stat.h>

#include "process/bystander.hpp"
#include "support/access_matrix.hpp"
#include "support/daemon_process.hpp"
#include "support/other_user.hpp"

using namespace onced;
using namespace onced::protocol;
using onced::testing::as_user;
using onced::testing::DaemonOptions;
using onced::testing::DaemonProcess;
using onced::testing::key_bytes;
using onced::testing::outcome;
using onced::testing::outcomes;
using onced::testing::RawClient;

namespace {

constexpr uid_t allowed_uid = 54321;
constexpr uid_t other_uid = 54322;
constexpr gid_t allowed_gid = 54400;

DaemonOptions options() {
  return DaemonProcess::options({"--set", "socket_mode=0666", "--set", "namespaces.mine.memory=4MiB", "--set",
                                 "namespaces.mine.allow_uids=" + std::to_string(allowed_uid), "--set",
                                 "namespaces.mine.allow_gids=" + std::to_string(allowed_gid)});
}

bool skipped_without_root() {
  if (onced::testing::can_be_other_users()) return false;
  MESSAGE("skipped: only root can be other users");
  return true;
}

void open_to_all(const DaemonProcess& daemon) { REQUIRE(::chmod(daemon.directory().c_str(), 0755) == 0); }

// "Acquire=reply 64; ...\n" for each.
std::string lines_of(const std::map<std::string, std::string>& outcomes) {
  std::string lines;
  for (const auto& [kind, text] : outcomes) lines += kind + "=" + text + "\n";
  return lines;
}
std::map<std::string, std::string> from_lines(std::string_view lines) {
  std::map<std::string, std::string> result;
  while (!lines.empty()) {
    const std::size_t end = lines.find('\n');
    const std::string_view line = lines.substr(0, end);
    const std::size_t equals = line.find('=');
    REQUIRE((end != std::string_view::npos && equals != std::string_view::npos));
    result[std::string(line.substr(0, equals))] = line.substr(equals + 1);
    lines.remove_prefix(end + 1);
  }
  return result;
}

// All that a namespace counts, but for what moves by itself and by asking.
std::string statistics_of(RawClient& client) {
  client.request(900, GetStats{});
  std::string text;
  const auto statistics = client.receive_only<Statistics>();
  for (const auto& [name, number] : statistics.fields) {
    if (name == "uptime_seconds" || name.starts_with("turn") || name.starts_with("longest_turn")) continue;
    text += name + "=" + std::visit([](const auto& value) {
      if constexpr (std::is_same_v<std::decay_t<decltype(value)>, std::string>) return value;
      else return std::to_string(value);
    }, number) + "\n";
  }
  return text + std::to_string(statistics.functions.size()) + " functions";
}

std::string replaced(std::string text, std::string_view what, std::string_view with) {
  for (std::size_t at = 0; (at = text.find(what, at)) != std::string::npos; at += with.size()) text.replace(at, what.size(), with);
  return text;
}

}  // namespace

TEST_CASE("the access matrix: every kind of request by an allowed user, by another one, and without HELLO") {
  if (skipped_without_root()) return;
  DaemonProcess daemon(options());
  open_to_all(daemon);
  RawClient witness(daemon.socket());  // root
  witness.hello(false, "mine");
  const onced::testing::Subject about{.key = key_bytes("f", 1), .function = "f"};
  witness.request(2, Put{key_bytes("f", 2), {{"", "", "kept"}}, {}});
  witness.receive_only<Published>();
  Acquire acquire;
  acquire.key = key_bytes("f", 3);
  witness.request(3, acquire);
  const auto lease = witness.receive_only<Lease>();
  const std::string before = statistics_of(witness);

  // What would do harm if it were let through: it names what is there.
  const onced::testing::Subject harm{.key = key_bytes("f", 2), .function = "f", .token = lease.token, .target = 3};
  const auto forbidden = from_lines(as_user({other_uid, other_uid}, [&] { return lines_of(outcomes(daemon.socket(), "mine", harm)); }));
  const auto missing = from_lines(as_user({other_uid, other_uid}, [&] { return lines_of(outcomes(daemon.socket(), "none", harm)); }));
  CHECK(forbidden.size() == std::variant_size_v<Request::Variant>);
  for (const auto& [kind, text] : forbidden) {
    CAPTURE(kind);
    CHECK(text.starts_with("refused 14: there is no namespace \"mine\" for uid 54322"));
    CHECK(text.ends_with("; end"));
    CHECK(replaced(text, "mine", "none") == missing.at(kind));
  }
  const auto without = from_lines(as_user({allowed_uid, allowed_uid}, [&] { return lines_of(outcomes(daemon.socket(), "", harm)); }));
  CHECK(without.size() == std::variant_size_v<Request::Variant>);
  for (const auto& [kind, text] : without) {
    CAPTURE(kind);
    if (kind != "Hello") CHECK(text == "refused 2: the first message of a connection must be HELLO; end");
  }
  CHECK(statistics_of(witness) == before);  // nothing of all that has come through

  const auto allowed = from_lines(as_user({allowed_uid, allowed_uid}, [&] { return lines_of(outcomes(daemon.socket(), "mine", about)); }));
  const auto expected = onced::testing::outcomes_when_allowed();
  CHECK(allowed.size() == std::variant_size_v<Request::Variant>);
  for (const auto& [kind, text] : allowed) {
    CAPTURE(kind);
    CAPTURE(text);
    CHECK(text.starts_with(expected.at(kind)));
    CHECK((kind == "Hello" || text.ends_with("alive")));
  }
  witness.receive_only<LeaseLost>();  // the allowed user's Invalidate
  RawClient later(daemon.socket());
  later.hello(false, "mine");
  CHECK(statistics_of(later) != before);
}

TEST_CASE("a user is let in by uid, by group and by further groups; root always; nobody in particular never") {
  if (skipped_without_root()) return;
  DaemonProcess daemon(options());
  open_to_all(daemon);
  const auto status_as = [&](const onced::testing::OtherUser& user, const std::string& name) {
    return as_user(user, [&] { return outcome(daemon.socket(), name, Request(GetStatus{})); });
  };
  const std::string served = "reply 64; reply 76; alive";
  CHECK(status_as({allowed_uid, 1}, "mine") == served);
  CHECK(status_as({other_uid, allowed_gid}, "mine") == served);
  CHECK(status_as({other_uid, 1, {5, allowed_gid}}, "mine") == served);
  std::vector<gid_t> many;
  for (gid_t gid = 1; gid <= 1000; ++gid) many.push_back(gid);
  CHECK(status_as({other_uid, 1, many}, "mine").starts_with("refused 14"));
  many.push_back(allowed_gid);
  CHECK(status_as({other_uid, 1, many}, "mine") == served);
  CHECK(outcome(daemon.socket(), "mine", Request(GetStatus{})) == served);
  CHECK(status_as({other_uid, 1, {5}}, "mine").starts_with("refused 14"));
  CHECK(status_as({other_uid, 1}, "default") == served);
  CHECK(status_as({65534, allowed_gid}, "mine").starts_with("refused 6"));
  daemon.wait_for_log("the namespace \"mine\" is not for uid 54322, gid 1, pid ");
}

TEST_CASE("users and groups are found by their names, and a name that nobody has is refused with its place") {
  const onced::testing::TempDirectory directory;
  const std::string file = (directory / "onced.toml").string();
  onced::testing::write_file(file, "[namespaces.mine]\nmemory = \"4MiB\"\nallow_users = [\"nobody-of-this-name\"]\n");
  const auto refused = DaemonProcess::run({"--config", file, "--check-config"});
  CHECK(refused.status == onced::testing::ExitStatus{2, 0});
  CHECK(refused.error.find(file + ":3:1: namespaces.mine.allow_users: there is no user \"nobody-of-this-name\" on this machine") !=
        std::string::npos);
  if (skipped_without_root()) return;
  DaemonProcess daemon(DaemonProcess::options({"--set", "socket_mode=0666", "--set", "namespaces.mine.memory=4MiB", "--set",
                                               "namespaces.mine.allow_users=daemon", "--set", "namespaces.mine.allow_groups=mail,bin"}));
  open_to_all(daemon);
  const passwd* user = ::getpwnam("daemon");
  const group* of_users = ::getgrnam("bin");
  REQUIRE((user != nullptr && of_users != nullptr));
  const uid_t uid = user->pw_uid;
  const gid_t gid = of_users->gr_gid;
  const auto status_as = [&](const onced::testing::OtherUser& who) {
    return as_user(who, [&] { return outcome(daemon.socket(), "mine", Request(GetStatus{})); });
  };
  CHECK(status_as({uid, 54400}).ends_with("alive"));
  CHECK(status_as({other_uid, gid}).ends_with("alive"));
  CHECK(status_as({other_uid, 54400}).starts_with("refused 14"));
}
