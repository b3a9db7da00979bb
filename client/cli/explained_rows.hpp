// What the daemon says of keys that are computed or queued, also of those in sessions, whose ids we do not have.
//
// Only who has opened a session may have its keys explained; whoever may list has their rows. Keys are asked for in rising order, so that a page of a listing
// serves all of them that it has.
#pragma once

#include <map>
#include <optional>
#include <string>

#include <onced/client.hpp>

namespace onced::cli {

// The cursor of a listing that goes on right before `key`, or a few keys earlier.
std::string cursor_before(std::string key);

class ExplainedRows {
 public:
  explicit ExplainedRows(Client& client) : client_(client) {}
  // Nothing: it has gone meanwhile.
  Result<std::optional<protocol::ListRow>> of(const std::string& key);

 private:
  Result<std::optional<protocol::ListRow>> listed(const std::string& key, std::string_view function);

  Client& client_;
  std::map<std::string, protocol::ListRow> listed_;
};

}  // namespace onced::cli
