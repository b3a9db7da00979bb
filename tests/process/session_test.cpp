// Sessions as applications see them, with a real daemon: who has a dead id finds nothing, in no process and in no memory.
#include <doctest/doctest.h>

#include <algorithm>
#include <cstring>
#include <fstream>
#include <sstream>
#include <thread>

#include <onced/memoize.hpp>
#include <onced/protocol/session.hpp>
#include <onced/session.hpp>

#include "process/processes.hpp"
#include "support/daemon_process.hpp"
#include "support/raw_client.hpp"

using namespace onced;
using namespace onced::testing;

namespace {

Key key_in(const Session& session, const std::string& function = "f") { return *session.key(function).add(1).build(); }

DaemonOptions with(std::vector<std::string> settings) {
  DaemonOptions options;
  for (const std::string& setting : settings) {
    options.flags.push_back("--set");
    options.flags.push_back(setting);
  }
  return options;
}

// Whether the bytes stand anywhere in a segment that this process has mapped.
bool in_a_segment(const std::string& bytes) {
  std::ifstream maps("/proc/self/maps");
  for (std::string line; std::getline(maps, line);) {
    if (line.find("onced-segment") == std::string::npos) continue;
    std::uint64_t begin = 0;
    std::uint64_t end = 0;
    char dash = 0;
    std::istringstream(line) >> std::hex >> begin >> dash >> end;
    const std::string_view mapped(reinterpret_cast<const char*>(begin), end - begin);
    if (mapped.find(bytes) != std::string_view::npos) return true;
  }
  return false;
}

// Of which no copy stands in this program's own data.
std::string secret_text() {
  std::string text = "tercs-";
  std::reverse(text.begin(), text.end());
  return text + std::string(40, '!') + std::to_string(getpid());
}

// Of one daemon, by one of two clients in this program.
struct TwoSessions {
  DaemonProcess daemon;
  Client client{options_for(daemon.socket())};
  Client other{options_for(daemon.socket())};
  Session first = client.new_session().value();
  Session second = client.new_session().value();
  Session first_elsewhere = other.session(first.id()).value();
};

std::uint64_t sessions_of(Client& client) { return client.list_sessions()->rows.size(); }

}  // namespace

TEST_CASE("a key is computed once in each session and once for all without one, in the same program") {
  TwoSessions of_one;
  CHECK(protocol::is_session_id(of_one.first.id()));
  CHECK(of_one.first.id() != of_one.second.id());
  int computed = 0;
  const auto text_in = [&](Session& session, const std::string& text) {
    return session.get_or_compute(key_in(session), {}, [&](Computation&) { ++computed; return text; })->text() == text;
  };
  CHECK(text_in(of_one.first, "one"));
  CHECK(text_in(of_one.first_elsewhere, "one"));
  CHECK(text_in(of_one.second, "two"));
  CHECK(computed == 2);
  const Key shared = key_named("f");
  for (Client* asking : {&of_one.client, &of_one.other})
    CHECK(asking->get_or_compute(shared, {}, [&](Computation&) { ++computed; return std::string("all"); })->text() == "all");
  CHECK(computed == 3);
  CHECK(of_one.first.peek(key_in(of_one.first))->in_shared_memory());
}

TEST_CASE("a function that is memoized in a session is computed once in it, by all handles, and for nobody else") {
  TwoSessions of_one;
  std::string computed;
  const auto of = [&](const std::string& user) {
    return [&computed, user](int year) {
      computed += user + std::to_string(year) + " ";
      return user + std::to_string(year);
    };
  };
  const auto basket_of_first = memoize(of_one.first, "basket", of("a"));
  const auto again = memoize(of_one.first_elsewhere, "basket", of("x"));
  const auto basket_of_second = memoize_as<std::string(int)>(of_one.second, "basket", of("b"));
  const auto of_all = memoize(of_one.client, "basket", of("all"));
  for (int time = 0; time < 2; ++time) {
    CHECK(basket_of_first(26).value() == "a26");
    CHECK(again(26).value() == "a26");
    CHECK(basket_of_second(26).value() == "b26");
    CHECK(of_all(26).value() == "all26");
  }
  CHECK(computed == "a26 b26 all26 ");
  CHECK(of_one.first.peek(*basket_of_first.key_of(26)).has_value());
  REQUIRE(of_one.first.end().ok());
  CHECK(basket_of_first(26).error().code == ErrorCode::session_ended);
  CHECK(again(26).error().code == ErrorCode::session_ended);
  CHECK(computed == "a26 b26 all26 ");
}

TEST_CASE("a key of a session is taken with that session only") {
  DaemonProcess daemon;
  Client client(options_for(daemon.socket()));
  auto session = client.new_session();
  auto another = client.new_session();
  const Key key = key_in(*session);
  REQUIRE(session->put(key.bytes(), "mine").ok());
  CHECK_FALSE(client.peek(key).has_value());
  CHECK(client.get(key.bytes()).error().code == ErrorCode::not_permitted);
  CHECK(client.put(key.bytes(), "theirs").error().code == ErrorCode::not_permitted);
  CHECK(client.invalidate(key.bytes()).error().code == ErrorCode::not_permitted);
  CHECK(client.explain(key.bytes()).error().code == ErrorCode::not_permitted);
  CHECK(client.subscribe(key).error().code == ErrorCode::not_permitted);
  CHECK(client.get_or_compute(key, {}, [](Computation&) { return std::string("theirs"); }).error().code == ErrorCode::not_permitted);
  CHECK_FALSE(another->peek(key).has_value());
  CHECK(another->get(key.bytes()).error().code == ErrorCode::invalid_argument);
  CHECK(session->get(key_named("f").bytes()).error().code == ErrorCode::invalid_argument);
  CHECK(session->get(key.bytes()).value()->text() == "mine");
}

TEST_CASE("a client that invents a session's number is refused by the daemon") {
  DaemonProcess daemon;
  Client client(options_for(daemon.socket()));
  auto session = client.new_session();
  const Key key = key_in(*session);
  REQUIRE(session->put(key.bytes(), "mine").ok());
  RawClient raw(daemon.socket());
  raw.hello();
  const protocol::Acquire asking{.key = std::string(key.bytes()), .held = {}};
  raw.request(2, asking);
  CHECK(raw.receive_only<protocol::Refused>().code == ErrorCode::not_permitted);
  raw.request(3, protocol::OpenSession{session->id()});
  CHECK(raw.receive_only<protocol::SessionOpened>().number == session->number());
  raw.request(4, asking);
  CHECK(raw.receive_only<protocol::Value>().version == 1);
}

TEST_CASE("who keeps the id of a session that has ended or has a new one finds nothing, by its own mapping") {
  DaemonProcess daemon;
  Client owner(options_for(daemon.socket()));
  Client keeper(options_for(daemon.socket()));
  auto session = owner.new_session();
  const Key key = key_in(*session);
  REQUIRE(session->put(key.bytes(), "value").ok());
  auto kept = keeper.session(session->id());
  REQUIRE(kept.ok());
  REQUIRE(kept->peek(key)->text() == "value");
  const std::uint64_t asked = keeper.counters().requests;

  SUBCASE("ended") { CHECK(session->end().value() == 1); }
  SUBCASE("rotated") {
    auto rotated = session->rotate();
    REQUIRE(rotated.ok());
    CHECK(rotated->number() == session->number());
    CHECK(rotated->peek(key)->text() == "value");
    REQUIRE(rotated->put(key.bytes(), "of after the login").ok());
    CHECK_FALSE(session->peek(key).has_value());
    auto again = keeper.session(rotated->id());
    REQUIRE(again.ok());
    CHECK(again->peek(key)->text() == "of after the login");
  }
  const std::uint64_t asked_now = keeper.counters().requests;
  CHECK_FALSE(kept->peek(key).has_value());
  CHECK(keeper.counters().requests == asked_now);  // nobody was asked
  CHECK(kept->get(key.bytes()).error().code == ErrorCode::session_ended);
  CHECK(kept->get_or_compute(key, {}, [](Computation&) { return std::string("x"); }).error().code == ErrorCode::session_ended);
  CHECK(kept->put(key.bytes(), "x").error().code == ErrorCode::session_ended);
  CHECK(kept->touch().error().code == ErrorCode::session_ended);
  CHECK(kept->end().error().code == ErrorCode::session_ended);
  CHECK(keeper.session(kept->id()).error().code == ErrorCode::session_ended);
  CHECK(asked_now >= asked);
}

TEST_CASE("a session expires, and its readers see it in their own mapping") {
  DaemonProcess daemon(with({"sessions.idle_ttl=300ms"}));
  Client client(options_for(daemon.socket()));
  Client watcher(options_for(daemon.socket()));
  auto session = client.new_session();
  const Key key = key_in(*session);
  REQUIRE(session->put(key.bytes(), "value").ok());
  wait_until([&] { return sessions_of(watcher) == 0; }, "the session to expire");
  CHECK_FALSE(session->peek(key).has_value());
  CHECK(session->get(key.bytes()).error().code == ErrorCode::session_ended);
}

TEST_CASE("touch() keeps a session beyond its idle time, and no other") {
  DaemonProcess daemon(with({"sessions.idle_ttl=4s"}));
  Client watcher(options_for(daemon.socket()));
  Client client(options_for(daemon.socket()));
  auto touched = client.new_session();
  auto left = client.new_session();
  wait_until([&] { return touched->touch().ok() && sessions_of(watcher) == 1; }, "the session that nobody touches to expire");
  CHECK(left->touch().error().code == ErrorCode::session_ended);
  CHECK(touched->touch().ok());
}

TEST_CASE("hits alone are uses: the daemon finds their marks") {
  DaemonProcess daemon(with({"sessions.idle_ttl=4s"}));
  Client watcher(options_for(daemon.socket()));
  Client client(options_for(daemon.socket()));
  auto session = client.new_session();
  const Key key = key_in(*session);
  REQUIRE(session->put(key.bytes(), "value").ok());
  // At a look, a quarter of the idle time later, the last use moves though nobody has sent anything.
  const std::uint64_t asked = client.counters().requests;
  wait_until(
      [&] {
        REQUIRE(session->peek(key).has_value());
        const auto rows = watcher.list_sessions()->rows;
        return rows.size() == 1 && rows.front().age_ms > 1500 && rows.front().idle_ms + 700 < rows.front().age_ms;
      },
      "a mark to be taken");
  CHECK(client.counters().requests == asked);
}

TEST_CASE("nothing of a session is left in memory when it has ended and nobody reads it any more") {
  DaemonProcess daemon;
  Client owner(options_for(daemon.socket()));
  Client reader(options_for(daemon.socket()));
  auto session = owner.new_session();
  const Key key = key_in(*session);
  const std::string secret = secret_text();
  REQUIRE(session->put(key.bytes(), secret).ok());
  auto kept = reader.session(session->id());
  std::optional<Value> view = kept->peek(key);
  REQUIRE(view->in_shared_memory());
  REQUIRE(in_a_segment(secret));
  REQUIRE(session->end().ok());
  CHECK(view->text() == secret);  // a value that is held stays as it is
  CHECK(in_a_segment(secret));
  view.reset();
  wait_until([&] { return !in_a_segment(secret); }, "the memory to be wiped");
}

TEST_CASE("a session that ends while its value is computed: waiters are told, and nothing of the result is left") {
  DaemonProcess daemon;
  Client holder(options_for(daemon.socket()));
  Client waiter(options_for(daemon.socket()));
  Client owner(options_for(daemon.socket()));
  auto session = owner.new_session();
  const Key key = key_in(*session);
  auto held = holder.session(session->id());
  auto acquired = held->acquire(key);
  REQUIRE(std::holds_alternative<Computation>(*acquired));
  auto& computation = std::get<Computation>(*acquired);
  Result<Value> waited = Error{};
  std::thread waiting([&] {
    auto there = waiter.session(session->id());
    waited = there->wait(key.bytes());
  });
  wait_until([&] { return session->explain(key.bytes())->row.waiting == 1; }, "the waiter");
  REQUIRE(session->end().ok());
  waiting.join();
  CHECK(waited.error().code == ErrorCode::session_ended);
  const std::string secret = secret_text();
  const auto published = computation.publish(secret);
  REQUIRE(published.ok());  // its caller still has its own value
  CHECK(published->not_stored().has_value());
  CHECK_FALSE(in_a_segment(secret));
  CHECK(owner.list()->rows.empty());
}

TEST_CASE("a session's subscriptions hear of its end, and end") {
  DaemonProcess daemon;
  Client client(options_for(daemon.socket()));
  auto session = client.new_session();
  const Key key = key_in(*session);
  auto of_session = session->subscribe();
  auto of_key = session->subscribe(key);
  REQUIRE(of_session.ok());
  REQUIRE(of_key.ok());
  REQUIRE(session->put(key.bytes(), "value").ok());
  REQUIRE(client.put(key_named("f").bytes(), "of no session").ok());
  REQUIRE(session->end().ok());
  std::vector<protocol::SignalEvent> events;
  const auto drain = [&](Subscription& subscription) {
    events.clear();
    for (;;) {
      auto event = subscription.next(Milliseconds(20'000));
      if (!event) return event.error().code;
      REQUIRE(event->has_value());
      if ((*event)->kind == Event::Kind::signal) events.push_back((*event)->signal.event);
    }
  };
  CHECK(drain(*of_session) == ErrorCode::session_ended);
  CHECK(events == std::vector{protocol::SignalEvent::done, protocol::SignalEvent::session_ended});
  CHECK(drain(*of_key) == ErrorCode::session_ended);
  CHECK(events == std::vector{protocol::SignalEvent::done});
  CHECK(session->subscribe().error().code == ErrorCode::session_ended);
}

TEST_CASE("a forked child uses its parent's session over a connection of its own") {
  DaemonProcess daemon;
  Client client(options_for(daemon.socket()));
  auto session = client.new_session();
  const Key key = key_in(*session);
  REQUIRE(session->put(key.bytes(), "of the parent").ok());
  REQUIRE(session->peek(key).has_value());
  Worker worker([&] {
    if (session->get(key.bytes()).value()->text() != "of the parent") return 1;
    if (!session->put(key_in(*session, "g").bytes(), "of the child").ok()) return 2;
    if (session->peek(key_in(*session, "g"))->text() != "of the child") return 3;
    return 0;
  });
  CHECK(worker.wait() == 0);
  CHECK(session->peek(key_in(*session, "g"))->text() == "of the child");
}

TEST_CASE("a daemon that is started anew knows no session of the former one, whatever its number") {
  DaemonProcess daemon;
  Client client(options_for(daemon.socket()));
  auto session = client.new_session();
  const Key key = key_in(*session);
  REQUIRE(session->put(key.bytes(), "old").ok());
  daemon.kill(SIGKILL);
  daemon.wait();
  daemon.start();
  Client fresh(options_for(daemon.socket()));
  auto next = fresh.new_session();
  REQUIRE(next.ok());
  CHECK(next->number() == session->number());  // the same place and number, of another epoch
  REQUIRE(next->put(key_in(*next).bytes(), "of somebody else").ok());
  CHECK_FALSE(session->peek(key).has_value());
  CHECK(session->get(key.bytes()).error().code == ErrorCode::session_ended);
  CHECK(next->peek(key_in(*next))->text() == "of somebody else");
}

TEST_CASE("more sessions than a connection remembers are opened again by themselves") {
  DaemonProcess daemon;
  Client client(options_for(daemon.socket()));
  std::vector<Session> sessions;
  for (std::size_t i = 0; i < limits::opened_sessions_per_connection_max + 50; ++i) sessions.push_back(*client.new_session());
  for (const std::size_t i : {std::size_t{0}, std::size_t{40}, sessions.size() - 1}) {
    Session& session = sessions[i];
    CHECK(session.put(key_in(session).bytes(), "value").ok());
    CHECK(session.get_or_compute(key_in(session, "g"), {}, [](Computation&) { return std::string("made"); })->text() == "made");
    CHECK(session.touch().ok());
  }
}

TEST_CASE("no id is in the daemon's log, not even at its most talkative") {
  DaemonProcess daemon(with({"log.level=debug"}));
  Client client(options_for(daemon.socket()));
  auto session = client.new_session();
  auto rotated = session->rotate();
  REQUIRE(rotated->end().ok());
  CHECK_FALSE(client.session(session->id()).ok());
  daemon.wait_for_log(" is over: ended");
  const std::string log = daemon.log();
  for (const std::string& id : {session->id(), rotated->id()}) {
    CHECK(log.find(id) == std::string::npos);
    CHECK(log.find(id.substr(0, 12)) == std::string::npos);
  }
}

TEST_CASE("a cookie of nonsense is refused without asking the daemon") {
  DaemonProcess daemon;
  Client client(options_for(daemon.socket()));
  for (const std::string& id : {std::string(), std::string("admin"), std::string(1'000'000, 'A'), std::string(43, '=')})
    CHECK(client.session(id).error().code == ErrorCode::session_ended);
  CHECK(client.counters().requests == 0);
}
