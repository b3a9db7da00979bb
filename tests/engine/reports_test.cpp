#include "scene.hpp"

#include <algorithm>
#include <cmath>

#include <onced/protocol/frame.hpp>
#include <onced/protocol/pin_page.hpp>

#include "engine/reports.hpp"

using namespace onced;
using namespace onced::engine;
namespace protocol = onced::protocol;

TEST_CASE("the status has the names that scripts rely on") {
  Scene scene;
  const auto a = scene.connect();
  const auto report = scene.take<protocol::StatusReport>(a, scene.ask(a, protocol::GetStatus{}));
  for (const char* name : {"version", "pid", "uptime_seconds", "hits", "misses", "computations", "computations_avoided",
                           "duplicates_avoided", "seconds_saved", "computing", "waiting", "connections", "entries", "memory_bytes",
                           "computations_last_hour", "computations_avoided_last_hour", "duplicates_avoided_last_hour",
                           "seconds_saved_last_hour"}) {
    CAPTURE(name);
    CHECK(std::any_of(report.fields.begin(), report.fields.end(), [&](const auto& field) { return field.first == name; }));
  }
}

TEST_CASE("hits of readers and of the daemon, waiters and computations are counted") {
  Scene scene;
  const auto a = scene.connect(), b = scene.connect();
  const auto token = scene.lease(a, chart_key);
  scene.ask(b, scene.acquire(chart_key));
  CHECK(scene.counted("waiting") == 1);
  CHECK(scene.counted("computing") == 1);
  scene.now += 2s;
  scene.publish(a, token, "12345");
  scene.ask(b, scene.acquire(chart_key));
  scene.store.totals = {{10, 20'000'000}};
  CHECK(scene.counted("hits") == 11);
  CHECK(scene.counted("misses") == 2);
  CHECK(scene.counted("computations") == 1);
  CHECK(scene.counted("computations_avoided") == 12);
  const auto statistics = scene.engine.statistics(scene.now);
  const auto saved = std::find_if(statistics.fields.begin(), statistics.fields.end(),
                                  [](const auto& field) { return field.first == "seconds_saved"; });
  CHECK(std::get<double>(saved->second) == doctest::Approx(24));  // one waiter, one hit, ten readers' claims of 20 s
  REQUIRE(statistics.functions.size() == 1);
  CHECK(statistics.functions[0].function == "chart");
  const protocol::Report expected{{"calls", std::uint64_t{13}},
                                  {"hits", std::uint64_t{11}},
                                  {"misses", std::uint64_t{2}},
                                  {"computations", std::uint64_t{1}},
                                  {"computations_avoided", std::uint64_t{12}},
                                  {"duplicates_avoided", std::uint64_t{1}},
                                  {"seconds_computed", 2.0},
                                  {"seconds_saved", 24.0},
                                  {"entries", std::uint64_t{1}},
                                  {"bytes", std::uint64_t{5}},
                                  {"running", std::uint64_t{0}},
                                  {"queued", std::uint64_t{0}},
                                  {"max_concurrent", std::uint64_t{0}},
                                  {"bytes_max", std::uint64_t{0}},
                                  {"computations_last_hour", std::uint64_t{1}},
                                  {"computations_avoided_last_hour", std::uint64_t{12}},
                                  {"duplicates_avoided_last_hour", std::uint64_t{1}},
                                  {"seconds_saved_last_hour", 24.0}};
  CHECK(statistics.functions[0].fields == expected);
}

namespace {

const protocol::Number& field_of(const protocol::Report& report, const std::string& name) {
  const auto found = std::find_if(report.begin(), report.end(), [&](const auto& field) { return field.first == name; });
  REQUIRE(found != report.end());
  return found->second;
}

bool is_unknown(const protocol::Number& number) { return std::holds_alternative<double>(number) && std::isnan(std::get<double>(number)); }

}  // namespace

TEST_CASE("of functions that share a counter of readers' hits nothing is said that rests on those") {
  Scene scene;
  scene.store.records_max = 1000;
  const auto a = scene.connect();
  const std::size_t apart = protocol::counter_functions - 1;
  const auto nth = [](std::size_t number) { return "f" + std::to_string(number); };
  for (std::size_t i = 0; i <= apart; ++i) scene.put(a, key_of(nth(i)), "value");
  scene.store.totals.resize(protocol::counter_functions);
  scene.store.totals[apart - 1] = {7, 7'000'000};
  scene.store.totals[apart] = {9, 9'000'000};
  const auto statistics = scene.engine.statistics(scene.now);
  CHECK_FALSE(statistics.truncated);
  REQUIRE(statistics.functions.size() == apart + 1);
  const auto of = [&](std::size_t number) -> const protocol::Report& {
    const auto found = std::find_if(statistics.functions.begin(), statistics.functions.end(), [&](const auto& one) { return one.function == nth(number); });
    REQUIRE(found != statistics.functions.end());
    return found->fields;
  };
  CHECK(field_of(of(apart - 1), "hits") == protocol::Number(std::uint64_t{7}));
  CHECK(field_of(of(0), "hits") == protocol::Number(std::uint64_t{0}));
  for (const char* name : {"calls", "hits", "computations_avoided", "seconds_saved", "computations_avoided_last_hour", "seconds_saved_last_hour"}) {
    CAPTURE(name);
    CHECK(is_unknown(field_of(of(apart), name)));
    CHECK_FALSE(is_unknown(field_of(of(apart - 1), name)));
  }
  for (const char* name : {"misses", "computations", "duplicates_avoided", "seconds_computed", "entries", "computations_last_hour"}) {
    CAPTURE(name);
    CHECK_FALSE(is_unknown(field_of(of(apart), name)));
  }
  CHECK(field_of(of(apart), "entries") == protocol::Number(std::uint64_t{1}));
  CHECK(scene.counted("hits") == 16);  // of all functions every hit is known
  std::string frame;
  protocol::encode(1, protocol::Reply{statistics}, frame);
  const auto decoded = protocol::decode_reply(protocol::type_of(protocol::Reply{statistics}), std::string_view(frame).substr(protocol::frame_header_bytes));
  REQUIRE(decoded.ok());
  const auto& last = std::get<protocol::Statistics>(*decoded).functions;
  CHECK(std::count_if(last.begin(), last.end(), [](const auto& one) { return is_unknown(field_of(one.fields, "hits")); }) == 1);
}

TEST_CASE("the functions that saved most are reported, though others computed more, and that there are more is said") {
  Scene scene;
  scene.store.records_max = 1000;
  const auto a = scene.connect();
  scene.put(a, key_of("popular"), "value");  // never computed here
  for (int i = 0; i < 300; ++i) {
    const auto token = scene.lease(a, key_of("dear" + std::to_string(i)));
    scene.now += 1s;
    scene.publish(a, token, "value");
  }
  scene.ask(a, scene.acquire(key_of("dear299")));  // saves a second
  scene.store.totals = {{10, 20'000'000}};
  const auto statistics = scene.engine.statistics(scene.now);
  CHECK(statistics.truncated);
  REQUIRE(statistics.functions.size() == Reports::functions_reported_max);
  CHECK(statistics.functions[0].function == "popular");
  CHECK(statistics.functions[1].function == "dear299");
  CHECK(statistics.functions[2].function == "dear0");
}

TEST_CASE("who waited but would not have computed is served, and no duplicate is avoided") {
  Scene scene;
  const auto a = scene.connect(), b = scene.connect();
  const auto token = scene.lease(a, chart_key);
  auto passive = scene.acquire(chart_key);
  passive.may_compute = false;
  scene.ask(b, passive);
  scene.ask(b, scene.acquire(chart_key));
  scene.publish(a, token, "value");
  CHECK(scene.counted("waiters_served") == 2);
  CHECK(scene.counted("computations_avoided") == 2);
  CHECK(scene.counted("duplicates_avoided") == 1);
  CHECK(scene.counted("duplicates_avoided_last_hour") == 1);
}

TEST_CASE("what was saved more than an hour ago is in the totals only") {
  Scene scene;
  const auto a = scene.connect();
  scene.publish(a, scene.lease(a, chart_key), "value");
  scene.ask(a, scene.acquire(chart_key));
  scene.store.totals = {{10, 0}};
  scene.pass(50min);
  CHECK(scene.counted("computations_last_hour") == 1);
  CHECK(scene.counted("computations_avoided_last_hour") == 11);
  scene.pass(62min);
  CHECK(scene.counted("computations_last_hour") == 0);
  CHECK(scene.counted("computations_avoided_last_hour") == 0);
  CHECK(scene.counted("computations_avoided") == 11);
}

TEST_CASE("while readers hit, the daemon looks at what they say once in five minutes; afterwards it sleeps") {
  Scene scene;
  const auto a = scene.connect();
  scene.put(a, chart_key, "value");
  CHECK_FALSE(scene.engine.next_deadline());
  scene.store.totals = {{10, 0}};
  scene.now = 301s;
  scene.step(Ticked{});
  CHECK(scene.engine.next_deadline() == std::optional<Time>(600s));
  scene.pass(10min);
  CHECK_FALSE(scene.engine.next_deadline());
}

TEST_CASE("readers' hits are known in a listing and in an explanation though nothing was ever evicted") {
  Scene scene;
  const auto a = scene.connect();
  scene.put(a, chart_key, "value");
  const RecordRef record = *scene.store.find(chart_key);
  scene.store.hits = {record, record};
  CHECK(scene.take<protocol::Listing>(a, scene.ask(a, protocol::List{})).rows.at(0).hits == 2);
  scene.now += 1ms;
  scene.store.hits = {record};
  CHECK(scene.take<protocol::Explanation>(a, scene.ask(a, protocol::Explain{chart_key})).row.hits == 3);
  scene.now += 1s;  // and in a second of steps in any case, for a table holds one hit of a key
  scene.store.hits = {record};
  scene.put(a, key_of("another"), "value");
  CHECK(scene.store.hits.empty());
}

TEST_CASE("the longest turn of the loop is told, since the start and of the last hour, and how long ago it was") {
  Scene scene;
  const auto seconds = [&](const std::string& name) {
    const auto statistics = scene.engine.statistics(scene.now);
    const auto found = std::find_if(statistics.fields.begin(), statistics.fields.end(), [&](const auto& field) { return field.first == name; });
    REQUIRE(found != statistics.fields.end());
    return std::get<double>(found->second);
  };
  scene.engine.turn_took(300ms, 10s);
  scene.engine.turn_took(200ms, 5000s);
  scene.now = 5010s;
  CHECK(seconds("longest_turn_seconds") == doctest::Approx(0.3));
  CHECK(seconds("longest_turn_ago_seconds") == doctest::Approx(5000));
  CHECK(seconds("longest_turn_seconds_last_hour") == doctest::Approx(0.2));
  CHECK(seconds("longest_turn_ago_seconds_last_hour") == doctest::Approx(10));
}

TEST_CASE("a listing is in order of key bytes and goes on behind its cursor") {
  Scene scene;
  scene.store.records_max = 5000;
  const auto a = scene.connect();
  for (int i = 999; i >= 0; --i) scene.put(a, key_of("f", i), "value");
  scene.put(a, key_of("g"), "value");
  scene.lease(a, key_of("e"));
  std::vector<std::string> seen;
  std::string cursor;
  int pages = 0;
  std::string function;
  std::size_t expected = 1002;
  SUBCASE("of everything") {}
  SUBCASE("of a function") {
    function = "f";
    expected = 1000;
  }
  do {
    const auto listing = scene.take<protocol::Listing>(a, scene.ask(a, protocol::List{function, cursor}));
    CHECK(listing.rows.size() <= limits::list_rows_max);
    for (const auto& row : listing.rows) seen.push_back(row.key);
    cursor = listing.cursor;
    ++pages;
    std::string frame;
    protocol::encode(1, protocol::Reply{listing}, frame);
    CHECK(frame.size() <= limits::frame_payload_bytes_max);
  } while (!cursor.empty());
  CHECK(pages > 1);
  CHECK(seen.size() == expected);
  CHECK(std::is_sorted(seen.begin(), seen.end()));
}

TEST_CASE("a listing counts the hits that the daemon gave") {
  Scene scene;
  const auto a = scene.connect();
  scene.put(a, key_of("f"), "value");
  for (int i = 0; i < 3; ++i) scene.take<protocol::Value>(a, scene.ask(a, scene.acquire(key_of("f"))));
  const auto listing = scene.take<protocol::Listing>(a, scene.ask(a, protocol::List{}));
  REQUIRE(listing.rows.size() == 1);
  CHECK(listing.rows[0].hits == 3);
}

TEST_CASE("the listing of a function has its keys, and no others") {
  Scene scene;
  const auto a = scene.connect();
  std::vector<std::string> expected;
  for (const char* function : {"a", "f", "z"}) {
    for (int i = 0; i < 3; ++i) {
      scene.put(a, key_of(function, i), "value");
      if (std::string_view(function) == "f") expected.push_back(key_of(function, i));
    }
  }
  std::sort(expected.begin(), expected.end());
  const auto listing = scene.take<protocol::Listing>(a, scene.ask(a, protocol::List{"f", ""}));
  std::vector<std::string> seen;
  for (const auto& row : listing.rows) seen.push_back(row.key);
  CHECK(seen == expected);
  CHECK(listing.cursor.empty());
  CHECK(scene.take<protocol::Listing>(a, scene.ask(a, protocol::List{"unknown", ""})).rows.empty());
}

TEST_CASE("settings that a reload changes hold at once; epoch and identity stay") {
  Scene scene;
  const auto a = scene.connect(), b = scene.connect();
  scene.lease(a, chart_key);
  Settings reloaded;
  reloaded.epoch = 1234;
  reloaded.waiters_per_key_max = 0;
  scene.engine.reconfigure(reloaded);
  CHECK(scene.refused(b, scene.ask(b, scene.acquire(chart_key))) == ErrorCode::limit_reached);
  CHECK(scene.counted("epoch") == 7);
  CHECK(scene.counted("pid") == 99);
}

TEST_CASE("answers about thousands of long keys fit a frame") {
  Scene scene;
  const auto a = scene.connect();
  for (int i = 0; i < 40; ++i) {
    const std::string name(200, static_cast<char>('a' + i % 26));
    const auto long_key = KeyBuilder(name).add(std::string(8000, 'x')).add(i).build();
    scene.put(a, std::string(long_key->bytes()), "value");
    scene.lease(a, std::string(KeyBuilder("long").add(std::string(8000, 'y')).add(i).build()->bytes()));
  }
  const auto fits = [](const protocol::Reply& reply) {
    std::string frame;
    protocol::encode(1, reply, frame);
    return frame.size() <= limits::frame_payload_bytes_max;
  };
  CHECK(fits(scene.take<protocol::Listing>(a, scene.ask(a, protocol::List{}))));
  CHECK(fits(scene.take<protocol::State>(a, scene.ask(a, protocol::Subscribe{everything(), 0, 0}))));
  CHECK(fits(scene.take<protocol::State>(a, scene.ask(a, protocol::Subscribe{function_scope("long"), 0, 0}))));
  for (int i = 0; i < 2000; ++i) scene.put(a, key_of(std::string(200, 'f') + std::to_string(i)), "value");
  CHECK(fits(scene.take<protocol::Statistics>(a, scene.ask(a, protocol::GetStats{}))));
}
