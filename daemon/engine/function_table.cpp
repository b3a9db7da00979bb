#include "engine/function_table.hpp"

#include "engine/key_fields.hpp"

namespace onced::engine {

bool FunctionTable::owns(const Function& function, const Entry& entry, std::string_view name) const {
  const bool shared = function.number + 1 == functions_max_;
  return !shared || function_of(entry.key) == name;
}

void FunctionTable::link(Entry& entry) {
  std::list<Entry*>& entries = at(entry.function).by_stamp;
  entry.in_function = entries.insert(entries.begin(), &entry);
}

void FunctionTable::move_to_front(Entry& entry) {
  std::list<Entry*>& entries = at(entry.function).by_stamp;
  entries.splice(entries.begin(), entries, entry.in_function);
}

void FunctionTable::unlink(Entry& entry) { at(entry.function).by_stamp.erase(entry.in_function); }

}  // namespace onced::engine
