#include "explained_rows.hpp"

#include <cstddef>
#include <utility>

namespace onced::cli {
namespace {

// A key's bytes: what sorts behind all that begin with the same bytes and are no longer than the key by this.
constexpr std::size_t behind_bytes = 16;
constexpr std::size_t pages_of_one_key_max = 2;  // of one key: the first one has it, unless many were between the cursor and it

}  // namespace

std::string cursor_before(std::string key) {
  if (key.empty()) return key;
  const auto last = static_cast<unsigned char>(key.back());
  key.pop_back();
  if (last == 0) return key;  // nothing is between a word and the same word with a zero behind it
  key.push_back(static_cast<char>(last - 1));
  return key.append(behind_bytes, '\xff');
}

Result<std::optional<protocol::ListRow>> ExplainedRows::of(const std::string& key) {
  const Result<Key> parsed = Key::parse(key);
  if (parsed && parsed->session()) return listed(key, parsed->function());
  Result<protocol::Explanation> explanation = client_.explain(key);
  if (!explanation) return explanation.error();
  return std::optional(std::move(explanation->row));
}

Result<std::optional<protocol::ListRow>> ExplainedRows::listed(const std::string& key, std::string_view function) {
  std::string cursor = cursor_before(key);
  for (std::size_t page_number = 0; page_number < pages_of_one_key_max && !listed_.contains(key); ++page_number) {
    Result<protocol::Listing> page = client_.list(function, cursor);
    if (!page) return page.error();
    for (protocol::ListRow& row : page->rows) {
      std::string name = row.key;
      listed_.insert_or_assign(std::move(name), std::move(row));
    }
    if (page->cursor.empty() || page->cursor >= key) break;
    cursor = page->cursor;
  }
  const auto found = listed_.find(key);
  return found == listed_.end() ? std::nullopt : std::optional(found->second);
}

}  // namespace onced::cli
