#include "engine/function_table.hpp"

#include "engine/key_fields.hpp"

namespace onced::engine {

bool FunctionTable::owns(const Function& function, const Entry& entry, std::string_view name) const {
  const bool shared = function.number + 1 == functions_max_;
  return !shared || function_of(entry.key) == name;
}

void FunctionTable::link(Entry& entry) {
  Function& function = at(entry.function);
  entry.previous_of_function = nullptr;
  entry.next_of_function = function.first_entry;
  if (function.first_entry != nullptr) function.first_entry->previous_of_function = &entry;
  function.first_entry = &entry;
}

void FunctionTable::unlink(Entry& entry) {
  Entry*& from_before = entry.previous_of_function != nullptr ? entry.previous_of_function->next_of_function
                                                              : at(entry.function).first_entry;
  from_before = entry.next_of_function;
  if (entry.next_of_function != nullptr) entry.next_of_function->previous_of_function = entry.previous_of_function;
}

}  // namespace onced::engine
