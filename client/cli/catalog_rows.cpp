#include "catalog_rows.hpp"

#include <algorithm>
#include <utility>

#include "text_format.hpp"
#include "value_output.hpp"

namespace onced::cli {
namespace {

double seconds_of_us(std::uint64_t us) { return static_cast<double>(us) / 1e6; }
double seconds_of_ms(std::uint64_t ms) { return static_cast<double>(ms) / 1e3; }

// A key whose value is being refreshed is computing and has a value all the same.
bool has_value(const protocol::ListRow& row) { return row.version != 0; }

std::uint64_t rank_of(const protocol::ListRow& row, RowOrder order) {
  switch (order) {
    case RowOrder::key: return 0;
    case RowOrder::size: return row.bytes;
    case RowOrder::cost: return row.cost_us;
    case RowOrder::age: return row.age_ms;
    case RowOrder::hits: return row.hits;
  }
  return 0;
}

// Where a value's bytes are: with its key in the segment, in memory of their own, or some here and some there.
std::string_view places_of(const protocol::ListRow& row) {
  if (row.blob_bytes == 0) return place_of(false);
  return row.blob_bytes == row.bytes ? place_of(true) : "both";
}

std::string time_left(std::uint64_t ms) { return ms == 0 ? "-" : human_duration(seconds_of_ms(ms)); }

std::optional<std::uint64_t> session_of(const protocol::ListRow& row) {
  const Result<Key> key = Key::parse(row.key);
  return key ? key->session() : std::nullopt;
}

struct Column {
  Table::Column head;
  std::function<std::string(const protocol::ListRow&)> cell;
  std::function<bool(const protocol::ListRow&)> has_news{};  // on a terminal the column is there when one row has; nothing: always
};

std::string_view title_of(RowOrder order) {
  switch (order) {
    case RowOrder::key: return "KEY";
    case RowOrder::size: return "SIZE";
    case RowOrder::cost: return "COST";
    case RowOrder::age: return "AGE";
    case RowOrder::hits: return "HITS";
  }
  return {};
}

// Those that give way first on a narrow screen have the highest numbers.
std::vector<Column> columns_for(const Screen& screen) {
  const auto left = Table::Align::left;
  const auto right = Table::Align::right;
  const auto of_value = [](auto text) {
    return [text](const protocol::ListRow& row) { return has_value(row) ? std::string(text(row)) : std::string("-"); };
  };
  const bool terminal = screen.terminal;
  return {
      {{"STATE"}, [](const auto& row) { return std::string(state_word(row)); }},
      {{"SIZE", right, 2}, of_value([terminal](const auto& row) { return terminal ? human_bytes(row.bytes) : std::to_string(row.bytes); })},
      {{"PARTS", right, 10}, of_value([](const auto& row) { return human_count(row.parts); }), [](const auto& row) { return row.parts > 1; }},
      {{"WHERE", left, 11}, of_value([](const auto& row) { return places_of(row); }), [](const auto& row) { return row.blob_bytes > 0; }},
      {{"READERS", right, 9}, of_value([](const auto& row) { return human_count(row.pins); }), [](const auto& row) { return row.pins > 0; }},
      {{"HITS", right, 5}, of_value([](const auto& row) { return human_count(row.hits); }), [](const auto& row) { return row.hits > 0; }},
      {{"COST", right, 3}, of_value([](const auto& row) { return human_duration(seconds_of_us(row.cost_us)); })},
      {{"AGE", right, 4}, [](const auto& row) { return human_duration(seconds_of_ms(row.age_ms)); }},
      {{"LEFT", right, 6}, [](const auto& row) { return time_left(row.ttl_left_ms); }, [](const auto& row) { return row.ttl_left_ms > 0; }},
      {{"GRACE", right, 8}, [](const auto& row) { return time_left(row.grace_left_ms); }, [](const auto& row) { return row.grace_left_ms > 0; }},
      {{"PLACE", right, 1}, [](const auto& row) { return row.queue_position == 0 ? std::string("-") : human_count(row.queue_position); },
       [](const auto& row) { return row.queue_position > 0; }},
      {{"SESSION", right, 12}, [](const auto& row) { return session_of(row) ? std::to_string(*session_of(row)) : std::string("-"); },
       [](const auto& row) { return session_of(row).has_value(); }},
      {{"WAITING", right, 7}, [](const auto& row) { return human_count(row.waiting); }, [](const auto& row) { return row.waiting > 0; }},
      {{.title = "KEY", .cut = Table::Cut::call}, [](const auto& row) { return key_display(row.key, whole_key) + (row.holder.empty() ? "" : "  by " + escape(row.holder)); }},
  };
}

}  // namespace

std::optional<RowOrder> row_order(std::string_view word) {
  if (word == "size") return RowOrder::size;
  if (word == "cost") return RowOrder::cost;
  if (word == "age") return RowOrder::age;
  if (word == "hits") return RowOrder::hits;
  return std::nullopt;
}

void RowSelection::add(protocol::ListRow row) {
  if (full()) return;
  rows_.push_back(std::move(row));
  if (limit_ && rows_.size() > 2 * *limit_ + 1024) cut();
}

void RowSelection::cut() {
  // Equals stay in the order of their keys.
  if (order_ != RowOrder::key) {
    std::stable_sort(rows_.begin(), rows_.end(), [this](const auto& a, const auto& b) { return rank_of(a, order_) > rank_of(b, order_); });
  }
  if (limit_ && rows_.size() > *limit_) rows_.resize(*limit_);
}

std::vector<protocol::ListRow> RowSelection::take() {
  cut();
  if (limit_) *limit_ -= rows_.size();
  return std::exchange(rows_, {});
}

std::string_view state_word(const protocol::ListRow& row) {
  if (row.state == protocol::KeyState::computing && has_value(row)) return "refreshing";
  if (row.state == protocol::KeyState::ready && row.stale) return row.grace_left_ms > 0 ? "stale" : "expired";
  return protocol::name_of(row.state);
}

Json row_json(const protocol::ListRow& row) {
  Json line = key_json(row.key);
  line["state"] = protocol::name_of(row.state);
  line["stale"] = row.stale;
  line["version"] = row.version;
  line["bytes"] = row.bytes;
  line["blob_bytes"] = row.blob_bytes;
  line["part_count"] = row.parts;
  line["readers"] = row.pins;
  line["hits"] = row.hits;
  line["content_type"] = row.content_type;
  line["cost_us"] = row.cost_us;
  line["age_ms"] = row.age_ms;
  if (row.ttl_left_ms != 0) line["ttl_left_ms"] = row.ttl_left_ms;
  if (row.grace_left_ms != 0) line["grace_left_ms"] = row.grace_left_ms;
  if (row.under_way_ms != 0) line["under_way_ms"] = row.under_way_ms;
  if (row.queue_position != 0) line["queue_position"] = row.queue_position;
  line["waiting"] = row.waiting;
  if (!row.holder.empty()) line["holder"] = row.holder;
  return line;
}

RowsText rows_text(const std::vector<protocol::ListRow>& rows, const Screen& screen, RowOrder order) {
  std::vector<Column> columns = columns_for(screen);
  if (screen.terminal) {
    std::erase_if(columns, [&](const Column& column) { return column.has_news && std::none_of(rows.begin(), rows.end(), column.has_news); });
  }
  std::vector<Table::Column> heads;
  for (const Column& column : columns) {
    heads.push_back(column.head);
    if (column.head.title == title_of(order)) heads.back().gives_way = 0;
  }
  Table table(std::move(heads));
  for (const protocol::ListRow& row : rows) {
    std::vector<std::string> cells;
    for (const Column& column : columns) cells.push_back(column.cell(row));
    table.add(std::move(cells));
  }
  return {table.text(screen.width), table.left_out(screen.width)};
}

}  // namespace onced::cli
