"""The user's objects as bytes: functions, classes, exceptions, arrays, and the memory they share.

Where things are::

    an object as frames            serialize  arrays
    functions and classes          functions  arrivals  recursion  sources
    what goes by its name          references  loads
    exceptions                     exceptions
    what cannot travel, and why    culprits  staying  pythons
    cloudpickle's private parts    cloudpickling
"""
