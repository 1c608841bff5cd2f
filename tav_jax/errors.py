"""The error that a user can mend."""


class InputError(ValueError):
  """Bad input: names the value, what was expected and what to do.

  Entry points print its message, without a traceback, and exit with code 2.
  """
