#include <algorithm>

#include "blob_scene.hpp"

using namespace onced;
using namespace onced::engine;
namespace protocol = onced::protocol;

namespace {
const std::string frame = key_of("frame");
}  // namespace

TEST_CASE("a reservation is charged when it is made and passed with its descriptor") {
  BlobScene scene;
  const auto a = scene.connect();
  const auto blob = scene.taken(a, scene.ask_to_reserve(a, 5000));
  CHECK(blob.bytes == 5000);
  CHECK(scene.counted("blobs") == 1);
  CHECK(scene.counted("blobs_reserved") == 1);
  CHECK(scene.counted("blob_bytes") == 5000);
  CHECK(scene.counted("blobs_max") == 1000);
}

TEST_CASE("a reservation of nothing, of too much, or of one too many is refused") {
  Settings settings;
  settings.part_bytes_max = 10'000;
  BlobScene scene(settings);
  const auto a = scene.connect();
  CHECK(scene.refused(a, scene.ask_to_reserve(a, 0)) == ErrorCode::invalid_argument);
  CHECK(scene.refused_with(a, scene.ask_to_reserve(a, 10'001), "limits.part_bytes_max") == ErrorCode::too_large);
  scene.reserve(a, 10'000);
  scene.blobs.count_max = 5000;
  for (std::size_t i = 1; i < limits::blobs_reserved_per_connection_max; ++i) scene.reserve(a, 1);
  CHECK(scene.refused_with(a, scene.ask_to_reserve(a, 1), "blobs_reserved_per_connection_max") == ErrorCode::limit_reached);
  scene.reserve(scene.connect(), 1);
}

TEST_CASE("a part is never larger than the record's format allows, whatever is set") {
  Settings settings = with_budget(~std::uint64_t{0} / 4);
  settings.part_bytes_max = ~std::uint64_t{0};
  BlobScene scene(settings);
  const auto a = scene.connect();
  CHECK(scene.refused(a, scene.ask_to_reserve(a, limits::part_bytes_max + 1)) == ErrorCode::too_large);
  scene.reserve(a, limits::part_bytes_max);
}

TEST_CASE("a wrong receipt ends the connection, and so does the one before the last") {
  for (const bool to_fetch : {false, true}) {
    BlobScene scene;
    const auto a = scene.connect(), b = scene.connect();
    const auto first = scene.taken(a, scene.ask_to_reserve(a, 10));
    const auto of_b = scene.taken(b, scene.ask_to_reserve(b, 10));
    CHECK(first.receipt != 0);
    CHECK(first.receipt != of_b.receipt);
    scene.reserve(a);
    for (const std::uint64_t wrong : {std::uint64_t{0}, of_b.receipt, first.receipt}) {
      scene.closed.clear();
      if (to_fetch) scene.ask(a, protocol::Fetch{first.blob, wrong});
      else scene.ask(a, protocol::Reserve{10, wrong});
      REQUIRE(scene.closed.size() == 1);
      CHECK(scene.closed[0].find("receipt") != std::string::npos);
    }
    CHECK(scene.counted("protocol_errors") == 3);
    CHECK(scene.passed.size() == 3);
  }
}

TEST_CASE("a refused reservation does not change the receipt") {
  BlobScene scene;
  const auto a = scene.connect();
  scene.reserve(a);
  scene.refused(a, scene.ask_to_reserve(a, 0));
  scene.reserve(a);
  CHECK(scene.closed.empty());
}

TEST_CASE("who dies or leaves after reserving leaves nothing behind") {
  BlobScene scene;
  const auto a = scene.connect();
  scene.lease(a, frame);
  scene.reserve(a);
  scene.reserve(a);
  SUBCASE("the process has died") { scene.step(ProcessDied{a}); }
  SUBCASE("the connection is closed") { scene.step(Disconnected{a}); }
  SUBCASE("it dies, then its socket is closed") {
    scene.step(ProcessDied{a});
    scene.step(Disconnected{a});
  }
  CHECK(scene.blobs.blobs.empty());
  CHECK(scene.counted("blobs_reserved") == 0);
  CHECK(scene.counted("blob_bytes") == 0);
}

TEST_CASE("a reservation can be released, once, and only one's own") {
  BlobScene scene;
  const auto a = scene.connect(), b = scene.connect();
  const BlobId blob = scene.reserve(a);
  scene.release(b, blob);
  CHECK(scene.exists(blob));
  scene.release(a, blob);
  CHECK_FALSE(scene.exists(blob));
  scene.release(a, blob);
  scene.release(a, BlobId{12345});
  CHECK(scene.counted("blobs_reserved") == 0);
}

TEST_CASE("a published blob is held by its record, charged as it was reserved, and fetched by everybody") {
  BlobScene scene;
  const auto a = scene.connect(), b = scene.connect();
  scene.store.mapped = {b};
  const auto token = scene.lease(a, frame);
  const BlobId blob = scene.reserve(a, 1000);
  const auto published = scene.ask(a, protocol::Publish{token, BlobScene::in_blob(blob, 300, 64), 0});
  CHECK(scene.take<protocol::Published>(a, published).stored);
  CHECK(scene.counted("blobs_reserved") == 0);
  CHECK(scene.counted("blob_bytes") == 1000);
  CHECK(scene.blobs.blobs.at(blob).holds == 1);
  const auto value = scene.take<protocol::Value>(b, scene.ask(b, scene.acquire(frame)));
  CHECK(value.record != 0);  // pinned: nothing is lent
  CHECK(scene.blobs.blobs.at(blob).holds == 1);
  CHECK(scene.taken(b, scene.ask_to_fetch(b, blob)).bytes == 1000);
  scene.step(Disconnected{a});
  CHECK(scene.exists(blob));
  scene.ask(b, protocol::Invalidate{key_scope(frame)});
  CHECK_FALSE(scene.exists(blob));
  CHECK(scene.refused(b, scene.ask_to_fetch(b, blob)) == ErrorCode::not_found);
}

TEST_CASE("a reserved blob is fetched by nobody: its maker may still write to it") {
  BlobScene scene;
  const auto a = scene.connect(), b = scene.connect();
  const BlobId blob = scene.reserve(a);
  CHECK(scene.refused(b, scene.ask_to_fetch(b, blob)) == ErrorCode::not_found);
  CHECK(scene.refused(b, scene.ask_to_fetch(b, BlobId{999})) == ErrorCode::not_found);
  CHECK(scene.passed.size() == 1);
}

TEST_CASE("a refused publish says what is wrong, gives its blobs back, and the lease stays") {
  BlobScene scene;
  const auto a = scene.connect(), b = scene.connect();
  const auto token = scene.lease(a, frame);
  BlobId blob = scene.reserve(a, 1000);
  auto parts = BlobScene::in_blob(blob);
  ErrorCode code = ErrorCode::invalid_argument;
  std::string text;
  SUBCASE("it is not sealed") {
    scene.blobs.unsealed = {blob};
    code = ErrorCode::malformed;
    text = "sealed";
  }
  SUBCASE("a part reaches beyond its end") {
    parts = BlobScene::in_blob(blob, 1000 - 63, 64);
    text = "beyond the 1000 bytes";
  }
  SUBCASE("a part begins beyond its end") {
    parts = BlobScene::in_blob(blob, 0, 1024);
    text = "beyond";
  }
  SUBCASE("offset and length are more than 64 bits together") {
    parts = BlobScene::in_blob(blob, 1000, ~std::uint64_t{0} - 63);
    text = "beyond";
  }
  SUBCASE("an offset is not aligned") {
    parts = BlobScene::in_blob(blob, 10, 32);
    text = "64";
  }
  SUBCASE("a name comes twice") {
    parts.push_back(parts.front());
    text = "name";
  }
  SUBCASE("inline parts are too large together") {
    parts.push_back({"a", "", std::string(limits::value_bytes_max, 'x')});
    parts.push_back({"b", "", "x"});
    code = ErrorCode::too_large;
    text = "value_bytes_max";
  }
  SUBCASE("one of its blobs is another's") {
    const BlobId foreign = scene.reserve(b);
    parts.push_back(BlobScene::in_blob(foreign).front());
    parts.back().name = "foreign";
    text = "no reservation";
  }
  CHECK(scene.refused_with(a, scene.ask(a, protocol::Publish{token, parts, 0}), text) == code);
  CHECK_FALSE(scene.exists(blob));
  CHECK(scene.publish(a, token, "all the same").stored);
}

TEST_CASE("a foreign reservation that somebody names stays its owner's") {
  BlobScene scene;
  const auto a = scene.connect(), b = scene.connect();
  const BlobId blob = scene.reserve(a);
  scene.refused(b, scene.ask(b, protocol::Put{frame, BlobScene::in_blob(blob), 0}));
  CHECK(scene.exists(blob));
  CHECK(scene.take<protocol::Published>(a, scene.ask(a, protocol::Put{frame, BlobScene::in_blob(blob), 0})).stored);
}

TEST_CASE("a publish that comes too late gives its blobs back as well") {
  BlobScene scene;
  const auto a = scene.connect();
  const BlobId blob = scene.reserve(a);
  SUBCASE("its token is not held any more") {
    CHECK(scene.refused(a, scene.ask(a, protocol::Publish{{7, 1000}, BlobScene::in_blob(blob), 0})) == ErrorCode::unknown_token);
  }
  SUBCASE("the daemon is going") {
    scene.step(Draining{});
    CHECK(scene.refused(a, scene.ask(a, protocol::Put{frame, BlobScene::in_blob(blob), 0})) == ErrorCode::unavailable);
  }
  CHECK_FALSE(scene.exists(blob));
}

TEST_CASE("a blob belongs to one value: naming it again is refused and harms nobody") {
  BlobScene scene;
  const auto a = scene.connect();
  const BlobId blob = scene.put_blob(a, frame);
  const auto again = scene.ask(a, protocol::Put{key_of("other"), BlobScene::in_blob(blob), 0});
  CHECK(scene.refused_with(a, again, "published or released before") == ErrorCode::invalid_argument);
  scene.release(a, blob);  // nor is it a reservation any longer
  CHECK(scene.exists(blob));
  CHECK(scene.store.visible(frame));
}

TEST_CASE("several parts share a blob, which is charged once, as it was reserved") {
  BlobScene scene;
  const auto a = scene.connect();
  const BlobId blob = scene.reserve(a, 4096);
  auto parts = BlobScene::in_blob(blob, 100, 128);
  parts.push_back(BlobScene::in_blob(blob, 100, 0).front());
  parts.back().name = "first";
  parts.push_back({"inline", "", "bytes"});
  CHECK(scene.take<protocol::Published>(a, scene.ask(a, protocol::Put{frame, parts, 0})).stored);
  CHECK(scene.counted("blob_bytes") == 4096);
  const auto row = scene.take<protocol::Explanation>(a, scene.ask(a, protocol::Explain{frame})).row;
  CHECK(row.parts == 3);
  CHECK(row.bytes == 205);
  CHECK(row.blob_bytes == 200);
}

TEST_CASE("who is told a stored value inline has its blobs on loan, until each loan is given back") {
  BlobScene scene;
  const auto a = scene.connect(), b = scene.connect();
  const BlobId blob = scene.put_blob(a, frame);
  const auto value = scene.take<protocol::Value>(b, scene.ask(b, scene.acquire(frame)));
  REQUIRE(value.parts.size() == 1);
  CHECK(value.parts[0].blob == static_cast<std::uint64_t>(blob));
  CHECK(value.parts[0].length == 1000);
  scene.ask(b, scene.acquire(frame));
  CHECK(scene.blobs.blobs.at(blob).holds == 3);
  scene.ask(a, protocol::Invalidate{key_scope(frame)});
  CHECK(scene.blobs.blobs.at(blob).holds == 2);
  scene.taken(b, scene.ask_to_fetch(b, blob));
  scene.release(b, blob);
  CHECK(scene.exists(blob));
  SUBCASE("by release") { scene.release(b, blob); }
  SUBCASE("by death") { scene.step(ProcessDied{b}); }
  CHECK_FALSE(scene.exists(blob));
}

TEST_CASE("a value that cannot be stored is lent to those who waited, and to nobody else") {
  BlobScene scene;
  const auto a = scene.connect(), b = scene.connect(), c = scene.connect(), d = scene.connect();
  const auto token = scene.lease(a, frame);
  const auto of_b = scene.ask(b, scene.acquire(frame)), of_c = scene.ask(c, scene.acquire(frame));
  const BlobId blob = scene.reserve(a);
  SUBCASE("the arena is blocked") { scene.store.too_large = true; }
  SUBCASE("the lease is detached") { scene.ask(d, protocol::Invalidate{everything()}); }
  const auto published = scene.ask(a, protocol::Publish{token, BlobScene::in_blob(blob), 0});
  CHECK_FALSE(scene.take<protocol::Published>(a, published).stored);
  CHECK(scene.take<protocol::Value>(b, of_b).parts.at(0).blob == static_cast<std::uint64_t>(blob));
  CHECK(scene.take<protocol::Value>(c, of_c).record == 0);
  CHECK(scene.refused(d, scene.ask_to_fetch(d, blob)) == ErrorCode::not_found);
  CHECK(scene.refused(a, scene.ask_to_fetch(a, blob)) == ErrorCode::not_found);
  scene.taken(b, scene.ask_to_fetch(b, blob));
  scene.release(b, blob);
  scene.step(Disconnected{c});
  CHECK_FALSE(scene.exists(blob));
}

TEST_CASE("a blob that nobody waits for goes with the publish that could not store it") {
  BlobScene scene;
  const auto a = scene.connect();
  const BlobId blob = scene.reserve(a);
  scene.store.too_large = true;
  CHECK_FALSE(scene.take<protocol::Published>(a, scene.ask(a, protocol::Put{frame, BlobScene::in_blob(blob), 0})).stored);
  CHECK_FALSE(scene.exists(blob));
}

TEST_CASE("a connection with as many blobs as it may have is told so instead of a value that would lend it more") {
  BlobScene scene;
  scene.blobs.count_max = 5000;
  const auto a = scene.connect(), b = scene.connect();
  scene.put_blob(a, frame);
  for (std::size_t i = 0; i < limits::blobs_reserved_per_connection_max; ++i) scene.reserve(b, 1);
  CHECK(scene.refused_with(b, scene.ask(b, scene.acquire(frame)), "release") == ErrorCode::limit_reached);
  scene.put(a, key_of("small"), "inline");
  CHECK(scene.inline_bytes(b, scene.ask(b, scene.acquire(key_of("small")))) == "inline");
}

TEST_CASE("over the budget the least recently used values with blobs go, and no others") {
  BlobScene scene(with_budget(3000));
  const auto a = scene.connect();
  scene.put(a, key_of("small"), "the oldest of all");
  for (int i = 0; i < 3; ++i) scene.put_blob(a, key_of("n", i));
  scene.release(a, BlobId{scene.take<protocol::Value>(a, scene.ask(a, scene.acquire(key_of("n", 0)))).parts.at(0).blob});
  const auto watcher = scene.ask(a, protocol::Subscribe{everything(), 0, 0});
  scene.put_blob(a, key_of("n", 3));
  CHECK(scene.events(a, watcher) == std::vector{SignalEvent::evicted, SignalEvent::done});
  CHECK(scene.store.visible(key_of("n", 0)));
  CHECK_FALSE(scene.store.visible(key_of("n", 1)));
  CHECK(scene.store.visible(key_of("small")));
  CHECK(scene.counted("blob_bytes") == 3000);
  CHECK(scene.counted("blob_evictions") == 1);
  const auto lines = scene.take<protocol::Explanation>(a, scene.ask(a, protocol::Explain{key_of("n", 1)})).lines;
  CHECK(lines.at(0).find("memory for other blobs") != std::string::npos);
}

TEST_CASE("nothing is evicted for a blob that would not fit even then") {
  BlobScene scene(with_budget(3 * 4096));
  const auto a = scene.connect(), b = scene.connect();
  scene.put_blob(a, frame, 4096);
  SUBCASE("because it is larger than the budget") {
    CHECK(scene.refused_with(b, scene.ask_to_reserve(b, 3 * 4096 + 1), "the setting blobs") == ErrorCode::out_of_memory);
  }
  SUBCASE("because the others are being filled") {
    scene.reserve(a, 2 * 4096);
    CHECK(scene.refused_with(b, scene.ask_to_reserve(b, 4097), "the setting blobs") == ErrorCode::out_of_memory);
  }
  CHECK(scene.store.visible(frame));
  CHECK(scene.counted("evictions") == 0);
  CHECK(scene.counted("reservations_refused") == 1);
}

TEST_CASE("when there are as many blobs as may be, one that is kept goes for a new one") {
  BlobScene scene;
  scene.blobs.count_max = 3;
  const auto a = scene.connect();
  for (int i = 0; i < 5; ++i) scene.put_blob(a, key_of("n", i));
  CHECK(scene.store.visible(key_of("n", 4)));
  CHECK(scene.counted("entries") == 3);
  for (int i = 0; i < 3; ++i) scene.reserve(a, 1);
  CHECK(scene.refused_with(a, scene.ask_to_reserve(a, 1), "LimitNOFILE") == ErrorCode::limit_reached);
}

TEST_CASE("what readers pin stays charged after its eviction, and is not evicted for without end") {
  BlobScene scene(with_budget(4000));
  const auto a = scene.connect();
  for (int i = 0; i < 4; ++i) scene.put_blob(a, key_of("n", i));
  scene.store.pinned = true;
  CHECK(scene.refused(a, scene.ask_to_reserve(a, 1000)) == ErrorCode::out_of_memory);
  CHECK(scene.counted("blob_bytes") == 4000);
  scene.store.pinned = false;
  scene.pass(2s);
  CHECK(scene.counted("blob_bytes") == 1000 * scene.counted("entries"));
  scene.reserve(a, 1000);
}

TEST_CASE("a reservation waits for memory that is being given back, and nothing more is evicted for it") {
  BlobScene scene(with_budget(3000));
  scene.blobs.slow_close = true;
  const auto a = scene.connect();
  for (int i = 0; i < 3; ++i) scene.put_blob(a, key_of("n", i));
  const auto waiting = scene.ask_to_reserve(a, 1000);
  CHECK_FALSE(scene.has_reply(a, waiting));
  CHECK(scene.counted("blob_evictions") == 1);
  CHECK(scene.counted("blob_bytes") == 3000);  // what is closing counts
  CHECK(scene.counted("blobs") == 3);
  scene.pass(100ms);
  CHECK_FALSE(scene.has_reply(a, waiting));
  CHECK(scene.counted("blob_evictions") == 1);
  SUBCASE("it is there in time") {
    scene.blobs.closing.clear();
    scene.pass(10ms);
    scene.taken(a, waiting);
    CHECK(scene.counted("blob_bytes") == 3000);
    CHECK(scene.counted("reservations_refused") == 0);
  }
  SUBCASE("it is not there in time") {
    scene.pass(1s);
    CHECK(scene.refused_with(a, waiting, "try again") == ErrorCode::out_of_memory);
    CHECK(scene.counted("reservations_refused") == 1);
  }
  SUBCASE("who waits for it dies") {
    scene.step(ProcessDied{a});
    scene.blobs.closing.clear();
    scene.pass(10ms);
    CHECK(scene.counted("blobs_reserved") == 0);
  }
  SUBCASE("the daemon is going") {
    scene.step(Draining{});
    CHECK(scene.refused(a, waiting) == ErrorCode::unavailable);
  }
  SUBCASE("the number of its request is in use") {
    scene.step(Requested{a, waiting, protocol::Reserve{1, scene.receipts[a]}});
    CHECK(scene.closed.size() == 1);
    scene.blobs.closing.clear();
    scene.pass(10ms);
  }
  CHECK(scene.counted("blob_evictions") == 1);
  CHECK_FALSE(scene.engine.next_deadline());
}

TEST_CASE("descriptors that are closing count as well, and a reservation waits for them") {
  BlobScene scene;
  scene.blobs.count_max = 2;
  scene.blobs.slow_close = true;
  const auto a = scene.connect();
  for (int i = 0; i < 2; ++i) scene.put_blob(a, key_of("n", i));
  const auto waiting = scene.ask_to_reserve(a, 1);
  CHECK_FALSE(scene.has_reply(a, waiting));
  CHECK(scene.counted("blobs") == 2);
  scene.blobs.closing.clear();
  scene.pass(10ms);
  scene.taken(a, waiting);
  CHECK(scene.counted("blob_evictions") == 1);
}

TEST_CASE("reservations that wait count for their connection, and are granted in the order of their arrival") {
  BlobScene scene(with_budget(1000));
  scene.blobs.slow_close = true;
  const auto a = scene.connect(), b = scene.connect();
  scene.put_blob(a, frame);
  const auto first = scene.ask_to_reserve(a, 1000);
  for (std::size_t i = 1; i < limits::blobs_reserved_per_connection_max; ++i) scene.ask_to_reserve(a, 1000);
  CHECK(scene.refused_with(a, scene.ask_to_reserve(a, 1), "still to be reserved") == ErrorCode::limit_reached);
  const auto of_b = scene.ask_to_reserve(b, 1);
  scene.blobs.closing.clear();
  scene.pass(10ms);
  scene.taken(a, first);
  CHECK(scene.closed.size() > 0);  // the others were asked for with its receipt
  CHECK(scene.refused_with(b, of_b, "the setting blobs") == ErrorCode::out_of_memory);
}

TEST_CASE("what a reader pins is in use: others go in its place, and it does not go in vain") {
  BlobScene scene(with_budget(3000));
  const auto a = scene.connect();
  for (int i = 0; i < 3; ++i) scene.put_blob(a, key_of("n", i));
  scene.store.pin_counts = {{*scene.store.find(key_of("n", 0)), 1}};
  const BlobId blob = scene.reserve(a, 1000);
  CHECK(scene.store.visible(key_of("n", 0)));
  CHECK_FALSE(scene.store.visible(key_of("n", 1)));
  scene.release(a, blob);
  for (int i = 0; i < 3; ++i)
    if (const auto record = scene.store.find(key_of("n", i))) scene.store.pin_counts[*record] = 1;
  scene.reserve(a, 1000);
  CHECK(scene.refused(a, scene.ask_to_reserve(a, 1000)) == ErrorCode::out_of_memory);
  CHECK(scene.counted("entries") == 2);
}

TEST_CASE("the memory of dropped blobs returns in the same step, or soon after the last reader lets go") {
  BlobScene scene;
  const auto a = scene.connect();
  const BlobId blob = scene.put_blob(a, frame);
  SUBCASE("at once") {
    SUBCASE("by invalidation") { scene.ask(a, protocol::Invalidate{everything()}); }
    SUBCASE("by a new value") { scene.put(a, frame, "small"); }
    CHECK_FALSE(scene.exists(blob));
    CHECK_FALSE(scene.engine.next_deadline());
  }
  SUBCASE("when it is no longer pinned, without any traffic, and without haste") {
    scene.store.pinned = true;
    scene.ask(a, protocol::Invalidate{everything()});
    REQUIRE(scene.engine.next_deadline());
    CHECK(*scene.engine.next_deadline() - scene.now == 10ms);
    const int before = scene.store.reclaims;
    scene.pass(60s);
    CHECK(scene.store.reclaims - before < 75);
    CHECK(scene.exists(blob));
    CHECK(*scene.engine.next_deadline() - scene.now <= 1s);
    scene.store.pinned = false;
    scene.pass(1s);
    CHECK_FALSE(scene.exists(blob));
    CHECK_FALSE(scene.engine.next_deadline());
  }
}

TEST_CASE("a blob whose descriptor goes with an answer is there until that is sent, though its value expires in the same step") {
  BlobScene scene;
  const auto a = scene.connect();
  const BlobId blob = scene.reserve(a);
  scene.ask(a, protocol::Put{frame, BlobScene::in_blob(blob), 100});
  scene.now += 200ms;  // the tick is late
  scene.taken(a, scene.ask_to_fetch(a, blob));
  CHECK_FALSE(scene.store.visible(frame));
  CHECK(scene.exists(blob));
  CHECK(scene.engine.next_deadline() == std::optional<Time>(scene.now));
  scene.step(Ticked{});
  CHECK_FALSE(scene.exists(blob));
}

TEST_CASE("values without blobs cause no scan of the pins when they go") {
  BlobScene scene;
  const auto a = scene.connect();
  scene.put(a, frame, "small");
  scene.ask(a, protocol::Invalidate{everything()});
  CHECK(scene.store.reclaims == 0);
}

TEST_CASE("a store that fails to make a blob says why") {
  BlobScene scene;
  const auto a = scene.connect();
  scene.blobs.create_fails = Error{ErrorCode::limit_reached, "too many open files"};
  CHECK(scene.refused_with(a, scene.ask_to_reserve(a, 1), "too many open files") == ErrorCode::limit_reached);
  CHECK(scene.counted("blobs_reserved") == 0);
}

TEST_CASE("explain says where each part lives, and a listing counts readers with one look at the pins") {
  BlobScene scene;
  const auto a = scene.connect();
  const BlobId blob = scene.reserve(a, 4096);
  std::vector<protocol::Part> parts{{"meta", "application/json", "{}"}};
  for (const char* name : {"df_1", "df_2"}) {
    parts.push_back(BlobScene::in_blob(blob, 2048, parts.size() == 1 ? 0 : 2048).front());
    parts.back().name = name;
  }
  scene.ask(a, protocol::Put{frame, parts, 0});
  scene.put(a, key_of("zzzzzz"), "small");
  scene.store.pin_counts = {{*scene.store.find(frame), 2}};
  const auto told = scene.take<protocol::Explanation>(a, scene.ask(a, protocol::Explain{frame}));
  REQUIRE(told.parts.size() == 3);
  CHECK(told.parts[0].name == "meta");
  CHECK(told.parts[0].bytes == 2);
  CHECK(told.parts[0].blob == 0);
  CHECK(told.parts[2].name == "df_2");
  CHECK(told.parts[2].bytes == 2048);
  CHECK(told.parts[2].blob == static_cast<std::uint64_t>(blob));
  const auto says = [&](const char* line) { return std::find(told.lines.begin(), told.lines.end(), line) != told.lines.end(); };
  CHECK(says("1 part in the segment, 2 bytes"));
  CHECK(says("2 parts in 1 blob, sealed memory of its own, 4.0 KiB"));
  CHECK(says("readers hold it 2 times"));

  scene.store.pin_scans = 0;
  const auto rows = scene.take<protocol::Listing>(a, scene.ask(a, protocol::List{})).rows;
  REQUIRE(rows.size() == 2);
  CHECK(rows[0].pins == 2);
  CHECK(rows[0].parts == 3);
  CHECK(rows[0].blob_bytes == 4096);
  CHECK(rows[0].content_type.empty());  // they differ
  CHECK(rows[1].pins == 0);
  CHECK(scene.store.pin_scans == 1);
}
