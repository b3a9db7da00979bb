// Rows of `oncectl ls`: their order, as a table for people, as JSON for programs. Pure.
#pragma once

#include <cstddef>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <onced/protocol/messages.hpp>

#include "key_words.hpp"
#include "output.hpp"

namespace onced::cli {

enum class RowOrder : std::uint8_t { key, size, cost, age, hits };  // the most of it first; key: as the daemon lists them
std::optional<RowOrder> row_order(std::string_view word);           // "size", "cost", "age", "hits"

// Rows as they come from the daemon, of which the first `limit` in an order are wanted. Keeps at most twice as many.
class RowSelection {
 public:
  RowSelection(RowOrder order, std::optional<std::size_t> limit) : order_(order), limit_(limit) {}
  void add(protocol::ListRow row);
  // More rows would change nothing.
  bool full() const { return order_ == RowOrder::key && limit_ && rows_.size() >= *limit_; }
  // Those that are wanted, in order. In the order of keys it may be called in between; they then count as delivered.
  std::vector<protocol::ListRow> take();

 private:
  void cut();

  RowOrder order_;
  std::optional<std::size_t> limit_;
  std::vector<protocol::ListRow> rows_;
};

// "ready", "stale" (past its time, within its grace), "expired" (about to go), "refreshing" (it is there, and its successor is
// computed), "computing", "queued", "failed".
std::string_view state_word(const protocol::ListRow& row);
// Without the parts, which a row does not name.
Json row_json(const protocol::ListRow& row);
struct RowsText {
  std::string table;
  std::vector<std::string> left_out;  // the titles of columns for which the screen is too narrow
};
// Off a terminal every column, and sizes in bytes; on one, columns without news are left out, and those that are worth least when
// keys would be cut to less than two fifths of the screen; what the rows are sorted by stays.
RowsText rows_text(const std::vector<protocol::ListRow>& rows, const Screen& screen, RowOrder order = RowOrder::key);

}  // namespace onced::cli
