import unittest

from greeting import greeting


class Greeting(unittest.TestCase):
    def test_greets_by_name(self):
        self.assertEqual(greeting("/tea?name=Ada"), "Hello, Ada! This is Python, and you asked for /tea\n")
        self.assertEqual(greeting("/"), "Hello, world! This is Python, and you asked for /\n")
