"""`nastool check`: does a file still fit its budget, and is it as quick as before?

`judge` turns rounds into a verdict, `baseline` says what is compared with, `again` measures in a fresh process, `gate`
puts them together, `ci` tells others.
"""
