#include "catalog_rows.hpp"

#include <doctest/doctest.h>

#include "support/contains.hpp"

namespace onced::cli {
namespace {

protocol::ListRow row_of(int argument, std::uint64_t bytes, std::uint64_t hits = 0) {
  protocol::ListRow row;
  row.key = KeyBuilder("f").add(argument).build()->bytes();
  row.state = protocol::KeyState::ready;
  row.version = 1;
  row.bytes = bytes;
  row.hits = hits;
  row.cost_us = 100 - bytes;
  row.age_ms = bytes * 2;
  row.parts = 1;
  return row;
}

std::vector<std::uint64_t> sizes_by(RowOrder order, std::optional<std::size_t> limit, std::size_t count = 5) {
  RowSelection selection(order, limit);
  for (std::size_t i = 0; i < count; ++i) selection.add(row_of(static_cast<int>(i), (i * 7) % 10, i));
  std::vector<std::uint64_t> sizes;
  for (const auto& row : selection.take()) sizes.push_back(row.bytes);
  return sizes;
}

using testing::contains;

}  // namespace

TEST_CASE("rows come with the most of what they are sorted by first, equals by key, and no more than are wanted") {
  CHECK(sizes_by(RowOrder::key, std::nullopt) == std::vector<std::uint64_t>{0, 7, 4, 1, 8});
  CHECK(sizes_by(RowOrder::size, std::nullopt) == std::vector<std::uint64_t>{8, 7, 4, 1, 0});
  CHECK(sizes_by(RowOrder::cost, 2) == std::vector<std::uint64_t>{0, 1});
  CHECK(sizes_by(RowOrder::age, 1) == std::vector<std::uint64_t>{8});
  CHECK(sizes_by(RowOrder::hits, 3) == std::vector<std::uint64_t>{8, 1, 4});
  CHECK(sizes_by(RowOrder::key, 2) == std::vector<std::uint64_t>{0, 7});
  CHECK_FALSE(row_order("colour"));
}

TEST_CASE("of very many rows the first in order are found all the same") {
  const std::vector<std::uint64_t> sizes = sizes_by(RowOrder::size, 3, 10'000);
  CHECK(sizes == std::vector<std::uint64_t>{9, 9, 9});
  RowSelection selection(RowOrder::hits, 2);
  for (int i = 0; i < 10'000; ++i) selection.add(row_of(i, 1, static_cast<std::uint64_t>(i == 17 ? 50'000 : i)));
  const auto rows = selection.take();
  REQUIRE(rows.size() == 2);
  CHECK(rows[0].hits == 50'000);
  CHECK(rows[1].hits == 9'999);
}

TEST_CASE("in the order of keys rows may be taken in between, and the limit counts them all") {
  RowSelection selection(RowOrder::key, 3);
  selection.add(row_of(1, 1));
  selection.add(row_of(2, 2));
  CHECK(selection.take().size() == 2);
  CHECK_FALSE(selection.full());
  selection.add(row_of(3, 3));
  selection.add(row_of(4, 4));
  CHECK(selection.full());
  CHECK(selection.take().size() == 1);
  CHECK(selection.full());
}

TEST_CASE("a value past its time is stale within its grace, and one whose successor is computed is refreshing") {
  protocol::ListRow row = row_of(1, 1);
  CHECK(state_word(row) == "ready");
  row.stale = true;
  CHECK(state_word(row) == "expired");
  row.grace_left_ms = 5000;
  CHECK(state_word(row) == "stale");
  row.state = protocol::KeyState::computing;
  CHECK(state_word(row) == "refreshing");
  row.version = 0;
  CHECK(state_word(row) == "computing");
}

TEST_CASE("on a narrow screen keys keep their names and arguments, and what rows are sorted by stays") {
  protocol::ListRow row = row_of(7, 5, 1234);
  row.key = KeyBuilder("platform.reports.monthly.revenue_by_region", "v1").add("north").add(7).build()->bytes();
  row.age_ms = 723'000;
  row.ttl_left_ms = 60'000;
  row.grace_left_ms = 7'200'000;
  row.parts = 3;
  row.pins = 2;
  for (const std::size_t width : {80U, 100U, 132U}) {
    CAPTURE(width);
    const RowsText text = rows_text({row}, {.terminal = true, .width = width});
    CHECK(contains(text.table, "_region@v1(\"north\", 7)\n"));
    CHECK(contains(text.table, "5 B"));
    CHECK(text.left_out.empty() == (width == 132));
  }
  const auto says = [&](RowOrder order) { return contains(rows_text({row}, {.terminal = true, .width = 50}, order).table, "1,234"); };
  CHECK_FALSE(says(RowOrder::key));
  CHECK(says(RowOrder::hits));
  CHECK(rows_text({row}, {.terminal = false, .width = 0}).left_out.empty());
  CHECK(contains(rows_text({row}, {.terminal = false, .width = 0}).table, "platform.reports.monthly.revenue_by_region@v1"));
}

TEST_CASE("a queued key is shown with its place") {
  protocol::ListRow row = row_of(1, 5);
  CHECK_FALSE(contains(rows_text({row}, {.terminal = true, .width = 200}).table, "PLACE"));
  CHECK_FALSE(row_json(row).contains("queue_position"));
  row.state = protocol::KeyState::queued;
  row.version = 0;
  row.queue_position = 1234;
  CHECK(state_word(row) == "queued");
  CHECK(contains(rows_text({row}, {.terminal = true, .width = 200}).table, "PLACE"));
  CHECK(contains(rows_text({row}, {.terminal = true, .width = 200}).table, "1,234"));
  CHECK(row_json(row)["queue_position"] == 1234);
  CHECK(row_json(row)["state"] == "queued");
}

TEST_CASE("a table says freshness, grace and hits; on a terminal only where there is something to say") {
  const Screen terminal{.terminal = true, .width = 200};
  protocol::ListRow row = row_of(1, 5);
  const std::string plain = rows_text({row}, terminal).table;
  for (const char* title : {"LEFT", "GRACE", "HITS"}) CHECK_FALSE(contains(plain, title));
  row.ttl_left_ms = 60'000;
  row.grace_left_ms = 7'200'000;
  row.hits = 1234;
  const std::string text = rows_text({row}, terminal).table;
  CHECK(contains(text, "HITS"));
  CHECK(contains(text, "1,234"));
  CHECK(contains(text, "1 min 0 s  2 h 0 min"));
  const Json json = row_json(row);
  CHECK(json["hits"] == 1234);
  CHECK(json["grace_left_ms"] == 7'200'000);
  CHECK(json["stale"] == false);
  for (const char* title : {"LEFT", "GRACE", "HITS"}) CHECK(contains(rows_text({}, {.terminal = false, .width = 0}).table, title));
}

}  // namespace onced::cli
